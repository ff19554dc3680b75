"""vosctl: wholesale voice operations as configuration in git."""

__version__ = "0.1.0"
