"""What becomes of routes between two route files: vendors locked or freed, losses, prefixes that nobody carries."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from itertools import product

from msgspec import Struct, field

from vosctl.rates import guard
from vosctl.rates.lookup import Prefixes
from vosctl.rates.lookup.keys import KEY, NONE, unpack
from vosctl.rates.routing.bulk import Column
from vosctl.rates.routing.lookup import RouteTables
from vosctl.rates.routing.native import bulk
from vosctl.rates.routing.reader import (
    CELL,
    EPOCH,
    OFFER,
    RATE,
    REASONS,
    Calendar,
    Offer,
    Rate,
    Route,
    Vendor,
)
from vosctl.rates.routing.terms import decoded
from vosctl.site.decks import Rate as Row
from vosctl.site.decks import Rounding
from vosctl.site.routing import Traffic

_PER_CENT = Rounding(places=1)


class Kind(Enum):
    """What became of prefixes."""

    LOCKED = "becomes locked for"
    FREE = "is free again for"
    LOSS = "sold at a loss:"
    NO_ROUTE = "no vendor is left for"
    CHANGED = "change"


class Moved(Struct):
    """Prefixes of a group to which the same happens, each with the reason, from a moment on (None: at once).

    ``section`` names the sections of work calendars in which it does, "" outside of them all.
    ``minutes`` is the traffic that they carry, None where nobody measured it.
    """

    group: str
    kind: Kind
    vendor: str
    start: datetime | None
    section: str = ""
    prefixes: dict[str, str] = field(default_factory=dict)
    minutes: Decimal | None = None


class _Time(Struct, frozen=True):
    """When calls are looked at: a moment (``start`` where it is later than now), and sections of the calendars."""

    when: datetime
    start: datetime | None
    sections: tuple[int, ...] | None
    names: str = ""


def changes(
    old: RouteTables, new: RouteTables, when: datetime, traffic: Iterable[Traffic] = ()
) -> Iterator[Moved]:
    """Yield what changes for calls from a moment on, in every section, then at each later moment that either file has.

    What a change at one time says already is not said again of a later one or of a section. Where the files have
    different calendars, only the sections count into which the moments fall.
    """
    pair = _Pair(old, new, tuple(traffic))
    seen: set[tuple[str, Kind, str, str]] = set()
    for time in _times(old, new, when):
        for name in sorted(old.groups.keys() & new.groups.keys()):
            for moved in pair.group(name, time):
                key = moved.group, moved.kind, moved.vendor
                moved.prefixes = {
                    each: why for each, why in moved.prefixes.items() if (*key, each) not in seen
                }
                seen.update((*key, prefix) for prefix in moved.prefixes)
                if moved.prefixes:
                    moved.minutes = pair.minutes(name, moved.prefixes)
                    yield moved


def _times(old: RouteTables, new: RouteTables, when: datetime) -> Iterator[_Time]:
    later = (EPOCH + each * _MICROSECOND for each in sorted({*old.moments, *new.moments}))
    calendars = new.views_by or old.views_by
    alike = not old.views_by or not new.views_by or old.views_by == new.views_by
    found = list(product(*(range(len(each.sections) + 1) for each in calendars))) if alike else []
    chosen: list[tuple[int, ...] | None] = [*found] if 0 < len(found) <= _MOST_SECTIONS else [None]
    for start in (None, *(each for each in later if each > when)):
        for sections in chosen:
            yield _Time(start or when, start, sections, _names(calendars, sections or ()))


def _names(calendars: Iterable[Calendar], sections: tuple[int, ...]) -> str:
    chosen = zip(calendars, sections, strict=False)
    return ", ".join(list(each.sections)[section - 1] for each, section in chosen if section)


_MOST_SECTIONS = 64
_MICROSECOND = (EPOCH.replace(microsecond=1)) - EPOCH


class _Side:
    """One file, and where the pair's prefixes lie in it."""

    def __init__(self, file: RouteTables, keys: bytes) -> None:
        self.file = file
        self.indexes = file.lookup.find_keys(keys)
        self._known: dict[tuple[int, int], Route | None] = {}

    def columns(self, group: str, time: _Time) -> tuple[Column, Column]:
        """Return the cells and the lists of offers of all the pair's prefixes."""
        view = self.file.view(time.when, time.sections)
        return (
            self.file.values(self.file.table(view, self.file.groups[group]), self.indexes),
            self.file.values(self.file.table(view), self.indexes),
        )

    def route(self, cell: int, offers: int) -> Route | None:
        """Return the route of a cell and a list, without its prefix."""
        key = cell, offers
        if key not in self._known:
            self._known[key] = self.file.route(cell, offers)
        return self._known[key]


class _Common:
    """Numbers that both files share: equal ones mean the same rates, the same verdicts, the same offers."""

    def __init__(self) -> None:
        self._rates: dict[tuple[bytes, str, str], int] = {}
        self._cells: dict[tuple[int, bytes], int] = {}
        self._lists: dict[tuple[tuple[Vendor, ...], bytes], int] = {}

    def numbers(self, file: RouteTables) -> tuple[Column, Column]:
        """Return the common number of each of a file's cells, and of each of its lists."""
        parts = {name: content.tobytes() for name, (_, content) in file.sections.items() if name in _READ}
        rates = array("I", (self._rate(file, *each) for each in _cut(parts["RATE"], RATE.size)))
        reasons = list(_cut(parts["LOCK"], len(file.vendors)))
        cells = (
            self._cells.setdefault((rates[rate], reasons[why][1] if reasons else b""), len(self._cells))
            for rate, why in CELL.iter_unpack(parts["CELL"])
        )
        words = array("I")
        words.frombytes(parts["OFFR"])
        words[1::2] = array("I", (each if each == NONE else rates[each] for each in words[1::2]))
        lists = (
            self._lists.setdefault((file.vendors, each), len(self._lists))
            for _, each in _cut(words.tobytes(), OFFER.size * len(file.vendors))
        )
        return array("I", cells), array("I", lists)

    def _rate(self, file: RouteTables, number: int, record: bytes) -> int:
        code = file.rate(number).currency
        charged = record[:_CURRENCY] + record[_CURRENCY + 2 :], code, file.worth(code)
        return self._rates.setdefault(charged, len(self._rates))


_READ = ("RATE", "LOCK", "CELL", "OFFR")
_CURRENCY = RATE.size - 8


def _cut(content: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    return enumerate(content[at : at + size] for at in range(0, len(content), size or 1))


class _Pair:
    def __init__(self, old: RouteTables, new: RouteTables, traffic: tuple[Traffic, ...]) -> None:
        self.keys = bulk().merge([each.sections["KEYS"][1].tobytes() for each in (old, new)])
        self.old, self.new = _Side(old, self.keys), _Side(new, self.keys)
        common = _Common()
        self.numbers = common.numbers(old), common.numbers(new)
        self.traffic = traffic

    def group(self, name: str, time: _Time) -> Iterator[Moved]:
        """Yield what changes for a group's calls at a time."""
        columns = (*self.old.columns(name, time), *self.new.columns(name, time))
        told: dict[tuple[int, ...], list[tuple[Kind, str, str]]] = {}
        found: dict[tuple[Kind, str], Moved] = {}
        for number in self._differing(columns):
            four = tuple(column[number] for column in columns)
            if four not in told:
                told[four] = list(_moves(self.old, self.new, four))
            for kind, vendor, why in told[four]:
                moved = found.setdefault((kind, vendor), Moved(name, kind, vendor, time.start, time.names))
                moved.prefixes[unpack(self.keys[KEY * number : KEY * number + KEY])] = why
        yield from found.values()

    def _differing(self, columns: tuple[Column, ...]) -> Iterator[int]:
        """Yield the numbers of prefixes whose cells or offers differ between the files."""
        (old_cells, old_lists), (new_cells, new_lists) = self.numbers
        for number, (cell, offers, other, others) in enumerate(zip(*columns, strict=True)):
            if NONE in {cell, other}:
                if cell != other:
                    yield number
            elif old_cells[cell] != new_cells[other] or old_lists[offers] != new_lists[others]:
                yield number

    def minutes(self, group: str, prefixes: Iterable[str]) -> Decimal | None:
        """Return the minutes of a group's traffic to numbers that belong to prefixes."""
        if not self.traffic:
            return None
        wanted = set(prefixes)
        own = [each for each in self.traffic if each.group in (None, group)]
        homes = self._lookup.find([each.prefix for each in own])
        return sum(
            (each.minutes for each, home in zip(own, homes, strict=True) if home != NONE and self._lookup[home] in wanted),
            Decimal(0),
        )  # fmt: skip

    @cached_property
    def _lookup(self) -> Prefixes:
        return Prefixes(keys=self.keys)


def _moves(old: _Side, new: _Side, four: tuple[int, ...]) -> Iterator[tuple[Kind, str, str]]:
    before, after = old.route(*four[:2]), new.route(*four[2:])
    if before == after:
        return
    yield Kind.CHANGED, "", ""
    if after is None:
        return
    was, now = _locks(before), _locks(after)
    for vendor, reason in now.items():
        if reason and was.get(vendor) == 0:
            yield Kind.LOCKED, vendor, REASONS[reason]
        elif not reason and was.get(vendor):
            yield Kind.FREE, vendor, ""
    loss = _loss(new.file, after)
    if loss and not (before and _loss(old.file, before)):
        yield Kind.LOSS, "", loss
    if not _open(after) and before and _open(before):
        yield Kind.NO_ROUTE, "", ""


def _locks(route: Route | None) -> dict[str, int]:
    """Return vendor → reason, 0 for none; by which trunk it is reached makes no difference."""
    return {offer.vendor.name: offer.reason for offer in route.offers} if route else {}


def _open(route: Route) -> list[Offer]:
    return [offer for offer in route.offers if not offer.reason and offer.rate is not None]


def _loss(file: RouteTables, route: Route) -> str:
    """Return how much a minute loses on the first vendor, "" where it earns."""
    first = next(iter(_open(route)), None)
    if first is None or first.rate is None:
        return ""
    worths = Decimal(file.worth(route.rate.currency)), Decimal(file.worth(first.rate.currency))
    sold, bought = _row(route.rate), _row(first.rate)
    lost = guard.loss(sold, bought, worths)
    if lost is None:
        return ""
    share = guard.margin(sold, bought, _PER_CENT, worths)
    of = "" if share is None else f", {guard.plain(share)} %"
    return f"{guard.plain(lost.normalize())} a minute on {first.vendor.name}{of}"


def _row(rate: Rate) -> Row:
    return decoded(RATE.pack(*rate[:8], 0, 0, 0))
