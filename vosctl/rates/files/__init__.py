"""Deck files: CSV, XLSX and Parquet as vendors send them, read with a saved mapping of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vosctl.rates.files.reading import Counts, DeckFileError, Note, Reading
from vosctl.site.tree import Mark

__all__ = ["Counts", "DeckFileError", "Note", "Reading", "read"]


def read(path: Path, mapping: Mapping[str, object], mark: Mark) -> Reading:
    """Return the rates of a deck file; each row is accepted, corrected with a note, or refused with its line.

    ``mapping`` is the deck as written in YAML, of which are used: columns (our name to the heading, or to
    several), separator, encoding, sheet, decimal, date_format, timezone, currency and the others of
    ``vosctl.rates.files.layout``; without ``columns`` the headings are our own names. ``mark`` is where
    the deck names the file. Raises DeckFileError for a file that is no table or lacks a column.
    """
    from vosctl.rates.files.rows import read_rows  # noqa: PLC0415  sites without deck files need none of it

    try:
        return read_rows(path, mapping)
    except DeckFileError as error:
        raise DeckFileError(error.message, hint=error.hint, mark=mark) from error
