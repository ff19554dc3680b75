"""What a changed deck means in money: calls that were made, priced by the one and by the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from vosctl.rates.billing import charge
from vosctl.rates.changes.compare import longest
from vosctl.rates.files.cells import CellError, heading
from vosctl.rates.files.moments import read_moment
from vosctl.rates.files.reading import DeckFileError
from vosctl.rates.files.table import read_table
from vosctl.site.decks import Deck, Rate, in_force
from vosctl.site.suggest import listed

_CALLEE = (
    "callee",
    "called",
    "called number",
    "callee number",
    "destination number",
    "dialed number",
    "dnis",
    "b number",
    "calleee164",
)
_MILLISECONDS = ("duration_ms", "duration (ms)")
_SECONDS = ("duration", "seconds", "duration (s)", "duration_s", "billsec", "hold time", "holdtime")
_STARTED = ("started", "start", "start time", "starttime", "begin", "begin time")
_DECKS = ("customer_deck", "vendor_deck")
_THOUSAND = Decimal(1000)
_BATCH = 10_000
_ZERO = Decimal(0)


class Call(Struct, frozen=True):
    """An answered call: the number as digits, its length in seconds, when it began (None: unsaid).

    ``decks`` are the customer's and the vendor's by name, where the record says them.
    """

    number: str
    seconds: Decimal
    started: datetime | None = None
    decks: tuple[str, ...] = ()


class Sum(Struct):
    """Calls that one change is about; amounts in the decks' currency. ``unpriced``: calls that a deck has no row for."""

    calls: int = 0
    seconds: Decimal = _ZERO
    before: Decimal = _ZERO
    after: Decimal = _ZERO
    unpriced: int = 0

    def add(self, call: Call, before: Decimal | None, after: Decimal | None) -> None:
        """Count a call."""
        self.calls += 1
        self.seconds += call.seconds
        self.before += before or _ZERO
        self.after += after or _ZERO
        self.unpriced += before is None or after is None

    @property
    def difference(self) -> Decimal:
        """How much more the calls cost by the new deck."""
        return self.after - self.before


class Impact(Struct):
    """Sums by section and prefix of a change, and of all calls together; ``others``: calls of other decks, left out."""

    changed: dict[tuple[str, str], Sum] = field(default_factory=dict)
    total: Sum = field(default_factory=Sum)
    others: int = 0


def impact(old: Deck, new: Deck, calls: Iterable[Call], when: datetime) -> Impact:
    """Return what calls cost by two decks as they are at a moment; a call's own start decides the section.

    Each call is charged and rounded by itself, tax included. A call counts for the longer of the two
    prefixes that price it, where these rows differ. Calls that say whose they are count where one of the
    two decks has that name.
    """
    sides = _Side(old, when), _Side(new, when)
    found = Impact()
    names = {old.name, new.name}
    for call in calls:
        if call.decks and not names.intersection(call.decks):
            found.others += 1
            continue
        (was, before), (now, after) = (side.price(call) for side in sides)
        found.total.add(call, before, after)
        key = _key(was, now)
        if key is not None and (was is None or now is None or _terms(was) != _terms(now)):
            found.changed.setdefault(key, Sum()).add(call, before, after)
    return found


def calls_of(connection: Any, query: str) -> Iterator[Call]:
    """Yield the answered calls of a relation of calls (SQL), as ``vosctl.rates.cdr`` makes it."""
    columns = "callee, duration_ms, started, customer_deck, vendor_deck"
    found = connection.execute(f"select {columns} from ({query}) where duration_ms > 0")  # noqa: S608  our own query
    while rows := found.fetchmany(_BATCH):
        for callee, milliseconds, started, *decks in rows:
            when = started.replace(tzinfo=timezone.utc) if started else None
            yield Call(callee, Decimal(milliseconds) / _THOUSAND, when, tuple(filter(None, decks)))


def read_calls(path: Path) -> Iterator[Call]:
    """Yield the answered calls of a CDR file (CSV, XLSX, Parquet): callee, duration_ms or duration, and started.

    With customer_deck and vendor_deck, calls count for these decks alone.

    Raises DeckFileError where a column is missing or a cell cannot be read, with its line.
    """
    table = read_table(path)
    rows = table.rows
    names = table.heading if table.heading is not None else (rows[0][1] if rows else ())
    places = {heading(name): place for place, name in reversed([*enumerate(names)])}
    callee, started = _place(places, _CALLEE), _place(places, _STARTED)
    seconds, milliseconds = _place(places, _SECONDS), _place(places, _MILLISECONDS)
    length = milliseconds if milliseconds is not None else seconds
    if callee is None or length is None:
        raise DeckFileError(
            f"{path} has no column {'callee' if callee is None else 'duration_ms'}",
            hint=f"there are {listed(names)}; calls have callee, duration_ms (or duration, in seconds) and started",
        )
    owners = [places[name] for name in _DECKS if name in places]
    scale = _THOUSAND if milliseconds is not None else Decimal(1)
    for line, cells in rows if table.heading is not None else rows[1:]:
        try:
            call = _call(cells[callee], cells[length], cells[started] if started is not None else "", scale)
            call = replace(call, decks=tuple(cells[place] for place in owners if cells[place]))
        except (CellError, ArithmeticError, IndexError, ValueError) as error:
            raise DeckFileError(
                f"{path}:{line}: no call can be read here: {error}", hint="a call has a number and a duration"
            ) from error
        if call.seconds:
            yield call


def _place(places: Mapping[str, int], names: Iterable[str]) -> int | None:
    return next((places[name] for name in names if name in places), None)


def _call(number: str, length: str, started: str, scale: Decimal) -> Call:
    digits = number.strip().removeprefix("+")
    if not digits.isdigit():
        raise ValueError(f"'{number}' is no number")
    seconds = Decimal(length.strip() or "0") / scale
    if seconds < 0:
        raise ValueError(f"a call cannot last {length}")
    return Call(digits, seconds, read_moment(started, "", "UTC").when)


class _Side:
    """One of the decks: its rows in force by section, and charges already worked out."""

    def __init__(self, deck: Deck, when: datetime) -> None:
        self._deck, self._when = deck, when
        self._rows: dict[str, Mapping[str, Rate]] = {}
        self._charges: dict[tuple[int, Decimal], Decimal] = {}

    def price(self, call: Call) -> tuple[Rate | None, Decimal | None]:
        """Return the row that prices a call and what it costs, None where no row does."""
        section = self._deck.section((call.started or self._when).astimezone(timezone.utc))
        if section not in self._rows:
            self._rows[section] = in_force(self._deck.every, self._when, section)
        row = longest(self._rows[section], call.number)
        if row is None or row.blocked:
            return row, None
        key = id(row), call.seconds
        if key not in self._charges:
            self._charges[key] = charge(row, call.seconds, self._deck.rounding, tax=self._deck.tax)
        return row, self._charges[key]


def _key(was: Rate | None, now: Rate | None) -> tuple[str, str] | None:
    rows = [row for row in (was, now) if row is not None]
    if not rows:
        return None
    longer = max(rows, key=lambda row: len(row.prefix))
    return max(row.section for row in rows), longer.prefix


def _terms(row: Rate) -> tuple[object, ...]:
    return (
        row.rate, row.cycle, row.first_rate if row.first_seconds else None, row.first_seconds, row.connect,
        row.minimum, row.grace, row.free_seconds, row.blocked,
    )  # fmt: skip
