"""Imports a deck file: one deck for each currency in it, and a report of all rows of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from vosctl.rates.files.heads import named
from vosctl.rates.files.reading import Counts, Note, Reading
from vosctl.rates.files.rows import read_rows
from vosctl.rates.files.suggest import suggest
from vosctl.rates.files.table import Table, table_of
from vosctl.site.decks import Rate


class Imported(Struct, frozen=True):
    """A file as imported: rates by currency ("" where it names none), and what became of its rows."""

    path: Path
    mapping: Mapping[str, object]
    suggested: bool
    rates: Mapping[str, tuple[Rate, ...]]
    notes: tuple[Note, ...]
    counts: Counts


def import_file(path: Path, known: Mapping[str, object]) -> Imported:
    """Return what a deck file holds; what ``known`` leaves open of its mapping is suggested by its headings.

    A file with a column of currencies becomes several decks, unless ``known`` names the currency that is
    wanted. Raises DeckFileError where no mapping can be made of it.
    """
    table = table_of(path, known)
    mapping, suggested = mapping_for(path, known, table)
    reading = read_rows(path, mapping, table)
    columns = mapping.get("columns")
    by_column = isinstance(columns, Mapping) and "currency" in columns
    if mapping.get("currency") or len(reading.currencies) < 2 or not by_column:
        currency = str(mapping.get("currency") or "") or next(iter(reading.currencies), "")
        return Imported(path, mapping, suggested, {currency: reading.rows}, reading.notes, reading.counts)
    parts = {
        code: read_rows(path, {**mapping, "currency": code}, table) for code in sorted(reading.currencies)
    }
    return _joined(path, mapping, parts, suggested=suggested)


def mapping_for(path: Path, known: Mapping[str, object], table: Table) -> tuple[Mapping[str, object], bool]:
    """Return the mapping to read a file with, and whether it was suggested: our own headings need none."""
    if known.get("columns") and _complete(known["columns"]):
        return known, False
    if not known.get("columns") and named(table):
        return known, False
    return suggest(path, known, table), True


def _complete(columns: object) -> bool:
    return isinstance(columns, Mapping) and "prefix" in columns and "rate" in columns


def _joined(
    path: Path, mapping: Mapping[str, object], parts: Mapping[str, Reading], *, suggested: bool
) -> Imported:
    """Return several readings of one file as one: a row is refused where each of them refuses it."""
    notes: dict[int, list[Note]] = {}
    for reading in parts.values():
        for note in reading.notes:
            notes.setdefault(note.line, []).append(note)
    kept: list[Note] = []
    for _, told in sorted(notes.items()):
        found = [note for note in told if not note.foreign]
        if found or len(told) == len(parts):
            kept.append((found or told)[0])
    first = next(iter(parts.values())).counts
    corrected, refused = (sum(note.kind == kind for note in kept) for kind in ("corrected", "refused"))
    accepted = first.total - first.aside - first.blank - corrected - refused
    counts = Counts(accepted, corrected, refused, first.aside, first.blank)
    rates = {code: reading.rows for code, reading in parts.items()}
    return Imported(path, mapping, suggested, rates, tuple(kept), counts)
