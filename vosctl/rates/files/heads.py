"""Finds the heading row of a deck file, below titles, and the columns that a mapping names in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from vosctl.rates.files.cells import heading
from vosctl.rates.files.layout import ALIASES, FIELDS, FOREIGN
from vosctl.rates.files.reading import DeckFileError
from vosctl.rates.files.table import Table, is_blank
from vosctl.site.suggest import did_you_mean, listed

LOOKED_AT = 60


class Head(Struct, frozen=True):
    """Which cells a field is read from, by our name; ``row`` is the heading's index, -1 where it is no row.

    ``width`` is how many columns have a heading, 0 where there is none.
    """

    places: Mapping[str, tuple[int, ...]]
    row: int
    width: int
    cells: Sequence[str] = ()


def find_head(table: Table, columns: Mapping[str, tuple[str, ...]], name: str) -> Head:
    """Return where the columns are; without ``columns`` the headings are our own names.

    Raises DeckFileError that says which heading is missing in the file ``name``.
    """
    rows = [(-1, table.heading)] if table.heading is not None else _first(table)
    wanted = [each for headings in columns.values() for each in headings]
    if table.heading is None and wanted and all(each.isdigit() for each in wanted) and not _has(rows, wanted):
        return Head({field: tuple(int(each) - 1 for each in of) for field, of in columns.items()}, -1, 0)
    for index, cells in rows:
        places = _places(cells, columns) if columns else _own(cells)
        if places is not None:
            return Head(places, index, _width(cells), tuple(map(heading, cells)))
    raise _missing(rows, wanted or ["prefix", "rate"], name, given=bool(columns))


def named(table: Table) -> bool:
    """Return whether a file has our own headings, so that it is read without a mapping of columns."""
    rows = [(-1, table.heading)] if table.heading is not None else _first(table)
    return any(_own(cells) is not None for _, cells in rows)


def _first(table: Table) -> list[tuple[int, Sequence[str]]]:
    head = enumerate(table.rows[:LOOKED_AT])
    return [(index, cells) for index, (_, cells) in head if not is_blank(cells)]


def _width(cells: Sequence[str]) -> int:
    return max((index for index, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _places(
    cells: Sequence[str], columns: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[int, ...]] | None:
    known = {name: index for index, name in reversed([*enumerate(map(heading, cells))])}
    found = {}
    for field, headings in columns.items():
        indices = [known.get(heading(each), _number(each, len(cells))) for each in headings]
        if any(index is None for index in indices):
            return None
        found[field] = tuple(index for index in indices if index is not None)
    named = any(heading(each) in known for headings in columns.values() for each in headings)
    return found if named else None


def _number(text: str, width: int) -> int | None:
    return int(text) - 1 if text.isdigit() and 1 <= int(text) <= width else None


def _own(cells: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    found: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(map(heading, cells)):
        field = ALIASES.get(name, name)
        if field in FIELDS or field in FOREIGN:
            found.setdefault(field, (index,))
    return found if {"prefix", "rate"} <= found.keys() else None


def _has(rows: Sequence[tuple[int, Sequence[str]]], wanted: Sequence[str]) -> bool:
    headings = {heading(each) for each in wanted}
    return any(headings <= {*map(heading, cells)} for _, cells in rows)


def _missing(
    rows: Sequence[tuple[int, Sequence[str]]], wanted: Sequence[str], name: str, *, given: bool
) -> DeckFileError:
    names = {heading(each) for each in wanted}
    best = max(
        (cells for _, cells in rows), key=lambda cells: len(names & {*map(heading, cells)}), default=()
    )
    there = [" ".join(cell.split()) for cell in best if cell.strip()]
    folded = {*map(heading, there)}
    lacking = [each for each in wanted if heading(each) not in folded]
    if not there:
        return DeckFileError(f"{name} has no rows", hint="is it the right file, and the right sheet?")
    first = lacking[0] if lacking else wanted[0]
    hint = (
        f"there are {listed(there)}" if given else f"vosctl rates import {name} suggests the columns to write"
    )
    return DeckFileError(f"{name} has no column '{first}'{did_you_mean(first, there)}", hint=hint)
