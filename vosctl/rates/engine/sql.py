"""Values and names as DuckDB's SQL has them."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return a column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return a text."""
    return "'" + value.replace("'", "''") + "'"
