"""Longest-prefix lookup: which of many prefixes a number belongs to, a few million times a second."""

from vosctl.rates.lookup.prefixes import Prefixes

__all__ = ["Prefixes"]
