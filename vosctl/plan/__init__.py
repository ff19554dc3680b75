"""Compares what a node should be with what it is: a pure function and its renderers."""
