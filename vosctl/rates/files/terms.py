"""The terms in a row of a deck file, all but its prefix: prices, periods, dates; each text is read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct, field

from vosctl.rates.files.cells import CellError, quoted, tidy
from vosctl.rates.files.layout import Layout
from vosctl.rates.files.moments import Moment, read_moment
from vosctl.rates.files.periods import read_increment, read_seconds
from vosctl.rates.files.prices import Price, exact, is_blocked, read_price

T = TypeVar("T")
_ZERO = Decimal(0)
_CYCLE = 60
_YES = frozenset({"yes", "y", "true", "1", "x", "inactive", "disabled", "not active", "stop", "stopped"})
_NO = frozenset(
    {"", "-", "no", "n", "false", "0", "open", "active", "enabled", "available", "yes/open", "ok", "new", "current",
     "increase", "increased", "decrease", "decreased", "unchanged", "no change", "same", "changed", "added", "add"}
)  # fmt: skip
_WITHDRAWN = frozenset({"deleted", "delete", "removed", "remove", "withdrawn", "discontinued"})
PRICES = ("rate", "first_rate", "connect", "minimum")
SECONDS = ("cycle", "first_seconds", "grace", "free_seconds")


class OtherCurrencyError(CellError):
    """A row that is fine in itself, in a currency that is not the deck's."""


class Terms(Struct, frozen=True):
    """What a row says, as ``vosctl.site.decks.Rate`` has it, its ``currency`` ("" unsaid) and corrections.

    ``withdrawn`` rows hold no rate: the vendor takes the prefix out.
    """

    rate: Decimal
    cycle: int
    first_rate: Decimal
    first_seconds: int
    connect: Decimal
    minimum: Decimal
    grace: int
    free_seconds: int
    section: str
    valid_from: datetime | None
    valid_until: datetime | None
    blocked: bool
    currency: str
    notes: tuple[str, ...]
    withdrawn: bool = False


class _Row(Struct):
    """The cells of one row by field, and what was corrected in reading them."""

    cells: Mapping[str, str]
    layout: Layout
    decimal: str
    notes: list[str] = field(default_factory=list)
    currencies: set[str] = field(default_factory=set)

    def text(self, name: str) -> str:
        """Return a cell, or the mapping's default where the column is not there or the cell empty."""
        text = self.cells.get(name, "")
        return text if tidy(text) else self.layout.defaults.get(name, "")

    def price(self, name: str) -> Price | None:
        """Return the price in a cell that may be empty."""
        return self.required_price(name) if self.text(name) else None

    def required_price(self, name: str) -> Price:
        """Return the price in a cell."""
        return self._of(name, self._price)

    def _price(self, name: str) -> Price:
        text = self.text(name)
        price = read_price(text, self.decimal)
        if price.note:
            self.notes.append(f"{name} {price.note}")
        if price.currency:
            self.currencies.add(price.currency)
        if self.layout.per == "second" and name in {"rate", "first_rate"}:
            return Price(exact(price.amount * 60, text)[0], blocked=price.blocked)
        return price

    def seconds(self, name: str) -> int | None:
        """Return the seconds in a cell that may be empty."""
        return self._of(name, lambda name: read_seconds(self.text(name))) if self.text(name) else None

    def moment(self, name: str) -> Moment:
        """Return the moment in a cell."""
        if not self.text(name):
            return Moment(None)

        def read(name: str) -> Moment:
            return read_moment(self.text(name), self.layout.date_format, self.layout.timezone)

        found = self._of(name, read)
        if found.note:
            self.notes.append(found.note)
        return found

    def _of(self, name: str, read: Callable[[str], T]) -> T:
        try:
            return read(name)
        except CellError as error:
            raise CellError(f"{name} {error}") from None


def read_terms(cells: Mapping[str, str], layout: Layout, decimal: str) -> Terms:
    """Return the terms of a row's cells by field; raise CellError for the first that says nothing sure."""
    row = _Row(cells, layout, decimal)
    blocked, withdrawn = status(row.text("blocked"))
    rate = _rate(row, blocked=blocked or withdrawn)
    first_seconds, cycle = _periods(row)
    first_rate = row.price("first_rate")
    if first_rate is not None and first_rate.amount != rate.amount and not first_seconds:
        row.notes.append("first_rate does nothing without first_seconds")
        first_rate = None
    start = first_rate.amount if first_rate is not None else rate.amount
    if start == rate.amount and first_seconds == cycle:
        first_seconds = 0  # which is the same: a first period as long as the cycles after it
    begin, end = _bounds(row)
    connect, minimum = row.price("connect"), row.price("minimum")
    return Terms(
        rate=rate.amount,
        cycle=cycle,
        first_rate=start,
        first_seconds=first_seconds,
        connect=connect.amount if connect else _ZERO,
        minimum=minimum.amount if minimum else _ZERO,
        grace=row.seconds("grace") or 0,
        free_seconds=row.seconds("free_seconds") or 0,
        section=tidy(row.text("section")),
        valid_from=begin,
        valid_until=end,
        blocked=blocked or rate.blocked,
        currency=_currency(row),
        notes=tuple(row.notes),
        withdrawn=withdrawn,
    )


def status(text: str) -> tuple[bool, bool]:
    """Return whether a row is blocked, and whether it is withdrawn."""
    word = tidy(text).casefold()
    if word in _NO:
        return False, False
    if word in _YES or is_blocked(text):
        return True, False
    if word in _WITHDRAWN:
        return False, True
    raise CellError(f"status {quoted(text)} is unknown; known are open, blocked and deleted")


def _rate(row: _Row, *, blocked: bool) -> Price:
    if not blocked:
        return row.required_price("rate")
    try:
        return row.required_price("rate")
    except CellError:
        return Price(_ZERO)


def _periods(row: _Row) -> tuple[int, int]:
    first = cycle = None
    if row.text("increment"):
        first, cycle = read_increment(row.text("increment"))
    said_cycle, said_first = row.seconds("cycle"), row.seconds("first_seconds")
    cycle = said_cycle if said_cycle is not None else cycle
    first = said_first if said_first is not None else first
    if cycle == 0:
        raise CellError("cycle is 0 seconds; a call is charged in steps of at least 1")
    return first or 0, _CYCLE if cycle is None else cycle


def _bounds(row: _Row) -> tuple[datetime | None, datetime | None]:
    begin, end = row.moment("valid_from").when, row.moment("valid_until").when
    if end is None:
        end = row.moment("last_day").next_day(row.layout.timezone).when
    if begin is not None and end is not None and end <= begin:
        raise CellError(f"it never holds: from {begin:%Y-%m-%d %H:%M} until {end:%Y-%m-%d %H:%M} UTC")
    return begin, end


def _currency(row: _Row) -> str:
    text = tidy(row.text("currency"))
    if text:
        sign = text.upper() if text.isalpha() else read_price(f"1 {text}", ".").currency
        if len(sign) != 3:
            raise CellError(f"currency {quoted(text)} is no code of three letters, as EUR")
        row.currencies.add(sign)
    elif "currency" in row.cells:
        raise CellError("no currency")
    if len(row.currencies) > 1:
        raise CellError(f"its cells are in {' and '.join(sorted(row.currencies))}")
    currency = next(iter(row.currencies), "")
    wanted = row.layout.currency
    if wanted and currency and currency != wanted:
        raise OtherCurrencyError(f"it is in {currency}, the deck in {wanted}")
    return currency
