"""Reads a deck file row by row: each is accepted, corrected with a note, refused with a reason, or holds no rate."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from msgspec import Struct, field

from vosctl.rates.files.cells import CellError, heading, quoted
from vosctl.rates.files.duplicates import settle
from vosctl.rates.files.heads import Head, find_head
from vosctl.rates.files.layout import Layout, layout_of
from vosctl.rates.files.prefixes import Codes, read_codes, read_pair
from vosctl.rates.files.prices import decimal_mark, is_blocked
from vosctl.rates.files.reading import Counts, Note, Reading
from vosctl.rates.files.table import Row, Table, is_blank, table_of
from vosctl.rates.files.terms import PRICES, OtherCurrencyError, Terms, read_terms
from vosctl.site.decks import Rate
from vosctl.site.text.loader import shown
from vosctl.site.tree import Mark

_TOTAL = re.compile(r"(?i)(grand |sub)?-?(total|sum|summe|end of (file|list|deck|rates?))\b")
_DIGIT = re.compile(r"[0-9]")


def read_rows(path: Path, mapping: Mapping[str, object], table: Table | None = None) -> Reading:
    """See ``vosctl.rates.files.read``; ``table`` are the rows of the file, where they were read before."""
    with _without_collector():
        layout = layout_of(mapping)
        table = table_of(path, mapping) if table is None else table
        name = shown(path)
        head = find_head(table, layout.columns, name)
        reader = _Reader(layout, head, name, _decimal(layout, head, table))
        reader.above(table.rows[: head.row + 1])
        for line, cells in table.rows[head.row + 1 :]:
            reader.add(line, cells)
        found = {**table.found, **({"decimal": reader.decimal} if reader.decimal else {})}
        return reader.reading(len(table.rows), found)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the garbage collector from walking again and again over a million objects that all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _decimal(layout: Layout, head: Head, table: Table) -> str:
    if layout.decimal:
        return layout.decimal
    places = [place for name in PRICES for place in head.places.get(name, ())]
    rows = table.rows[head.row + 1 :]
    return decimal_mark({cells[place] for place in places for _, cells in rows if place < len(cells)})


class _Reader(Struct):
    """Collects a file's rates, and what became of each row."""

    layout: Layout
    head: Head
    file: str
    decimal: str
    rates: list[Rate] = field(default_factory=list)
    ranged: set[int] = field(default_factory=set)
    corrected: dict[int, list[str]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    aside: dict[int, str] = field(default_factory=dict)
    foreign: set[int] = field(default_factory=set)
    blank: int = 0
    currencies: Counter[str] = field(default_factory=Counter)
    _known: dict[tuple[str, ...], Terms | CellError] = field(default_factory=dict)
    _columns: tuple[tuple[str, int], ...] = ()
    _prefix: tuple[int, ...] = ()
    _destination: int = -1
    _width: int = 0
    _pick: Callable[[Sequence[str]], tuple[str, ...]] = tuple

    def __post_init__(self) -> None:
        places = self.head.places
        self._prefix = places["prefix"][:2]
        self._destination = places.get("destination", (-1,))[0]
        self._columns = tuple(
            (name, of[0]) for name, of in places.items() if name not in {"prefix", "destination"}
        )
        self._width = max(max(of) for of in places.values()) + 1
        if len(self._columns) > 1:  # with one item, itemgetter gives no tuple
            self._pick = itemgetter(*(place for _, place in self._columns))
        else:
            self._pick = lambda cells: tuple(cells[place] for _, place in self._columns)

    def above(self, rows: Sequence[Row]) -> None:
        """Take what stands above the rates: titles, and the heading."""
        for number, (line, cells) in enumerate(rows, 1):
            if is_blank(cells):
                self.blank += 1
            else:
                self.aside[line] = "the heading" if number == len(rows) else "above the heading"

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Take one row."""
        if len(cells) < self._width:
            cells = [*cells, *[""] * (self._width - len(cells))]
        key = self._pick(cells)
        try:
            codes = self._codes(cells)
            terms = self._terms(key)
        except CellError as error:
            self._set_aside(line, cells, str(error))
            if isinstance(error, OtherCurrencyError):
                self.foreign.add(line)
            return
        if self.head.width and len(cells) > self.head.width and not is_blank(cells[self.head.width :]):
            message = f"has {len(cells)} cells, the heading {self.head.width}; is a separator in a text without quotes?"
            self.refused[line] = message
        elif terms.withdrawn:
            self.aside[line] = "withdrawn by the vendor"
        else:
            self._take(line, cells, codes, terms)

    def reading(self, total: int, found: Mapping[str, str]) -> Reading:
        """Return what was read, once all rows are in; ``total`` is how many rows the file has."""
        if not self.layout.currency and len(self.currencies) > 1:
            self._refuse_currencies()
        settled = settle(self.rates, self.ranged, self.layout.duplicates)
        for line, texts in settled.corrected.items():
            self.corrected.setdefault(line, []).extend(texts)
        self.refused.update(settled.refused)
        for line in self.refused:
            self.corrected.pop(line, None)
        rates = [rate for index, rate in enumerate(self.rates) if index not in settled.dropped]
        notes = [Note(line, "corrected", "; ".join(texts)) for line, texts in self.corrected.items()]
        notes += [Note(line, "refused", text, line in self.foreign) for line, text in self.refused.items()]
        notes += [Note(line, "aside", text) for line, text in self.aside.items()]
        counts = Counts(
            accepted=total - len(notes) - self.blank,
            corrected=len(self.corrected),
            refused=len(self.refused),
            aside=len(self.aside),
            blank=self.blank,
        )
        notes.sort(key=lambda note: note.line)
        return Reading(tuple(rates), tuple(notes), counts, found, dict(self.currencies))

    def _codes(self, cells: Sequence[str]) -> Codes:
        if len(self._prefix) == 2:
            return read_pair(cells[self._prefix[0]], cells[self._prefix[1]], self.layout.style)
        return read_codes(cells[self._prefix[0]], self.layout.style)

    def _terms(self, key: tuple[str, ...]) -> Terms:
        known = self._known.get(key)
        if known is None:
            texts = {name: text for (name, _), text in zip(self._columns, key, strict=True)}
            try:
                known = read_terms(texts, self.layout, self.decimal)
            except CellError as error:
                known = error
            self._known[key] = known
        if isinstance(known, CellError):
            raise known
        return known

    def _take(self, line: int, cells: Sequence[str], codes: Codes, terms: Terms) -> None:
        notes = [codes.note] if codes.note else []
        notes += terms.notes
        if notes:
            self.corrected[line] = notes
        if terms.currency:
            self.currencies[terms.currency] += 1
        if codes.ranged:
            self.ranged.update(range(len(self.rates), len(self.rates) + len(codes.prefixes)))
        destination = " ".join(cells[self._destination].split()) if self._destination >= 0 else ""
        mark = Mark(self.file, line, 1)
        for prefix in codes.prefixes:
            self.rates.append(
                Rate(
                    prefix, terms.rate, terms.cycle, terms.first_rate, terms.first_seconds, terms.connect, mark,
                    terms.minimum, terms.grace, terms.free_seconds, terms.section, terms.valid_from,
                    terms.valid_until, terms.blocked, destination,
                )
            )  # fmt: skip

    def _set_aside(self, line: int, cells: Sequence[str], reason: str) -> None:
        """Refuse a row, unless it is one that holds no rate."""
        written = [cell for cell in cells if cell.strip()]
        if not written:
            self.blank += 1
        elif _TOTAL.match(written[0].strip()):
            self.aside[line] = "a total"
        elif self.head.cells and tuple(map(heading, cells[: len(self.head.cells)])) == self.head.cells:
            self.aside[line] = "the heading again"
        elif not self._says_anything(cells):
            self.aside[line] = f"neither prefix nor rate: {quoted(written[0])}"
        else:
            self.refused[line] = reason

    def _says_anything(self, cells: Sequence[str]) -> bool:
        rate = cells[self.head.places["rate"][0]]
        prefixes = [cells[place] for place in self._prefix]
        return is_blocked(rate) or any(_DIGIT.search(cell) for cell in (rate, *prefixes))

    def _refuse_currencies(self) -> None:
        names = ", ".join(sorted(self.currencies))
        for rate in self.rates:
            self.refused[rate.mark.line] = (
                f"the file has rows in {names}; say which are the deck's: currency: {min(self.currencies)}"
            )
        self.rates.clear()
        self.ranged.clear()
