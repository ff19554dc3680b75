"""Reads route files: by itself, with the standard library alone, so that a proxy can carry this one module.

The layout is that of docs/route-file.md. The file is mapped, not loaded: opening one costs no more than its header.
"""

from __future__ import annotations

import mmap
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

MAGIC = b"VOSROUTE"
VERSION = 1
NONE = 0xFFFFFFFF
SAME = 0xFFFFFFFE
NO_HOURS = 0xFFFF
KEY = 10
DENSE, RUNS = 0, 1
UNIT = 100_000_000
REASONS = ("", "no clearing rate", "its row is blocked", "costs too much a minute", "earns too little")
HOLIDAY = 7
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

HEADER = Struct("<8sHHIQIIIIIII4s8x")  # 64 bytes
SECTION = Struct("<4sIQQ")
VENDOR = Struct("<IIHHHHIIII")
REWRITE = Struct("<III")
GROUP = Struct("<II")
RATE = Struct("<qqqqiiiiHHI")
OFFER = Struct("<HHI")
CELL = Struct("<II")
TABLE = Struct("<QIHHI4x")
MOMENT = Struct("<q")
CALENDAR = Struct("<IIIII")
PART = Struct("<III")
WINDOW = Struct("<HHH")
DAY = Struct("<i")
CURRENCY = Struct("<II")
WORD = Struct("<I")

_DIGIT = {str(digit): digit + 1 for digit in range(10)}


class RouteFileError(Exception):
    """The file is no route file, or not whole."""


class Rate(NamedTuple):
    """What is charged, in units of 10^-8 of ``currency``; rates are per minute, periods in seconds."""

    rate: int
    first_rate: int
    connect: int
    minimum: int
    cycle: int
    first_seconds: int
    grace: int
    free_seconds: int
    currency: str
    blocked: bool


class Vendor(NamedTuple):
    """A vendor's gateway; ``via`` is the trunk that leads to it, None for the node's own."""

    name: str
    via: str | None
    priority: int
    weight: int
    share: int
    hours: int
    rewrite: tuple[tuple[str, str], ...]


class Offer(NamedTuple):
    """A vendor for a number: its rate (None: it has none), the reason why it is locked (0: it is not)."""

    vendor: Vendor
    rate: Rate | None
    reason: int
    tied: bool


class Route(NamedTuple):
    """The longest prefix of the tables that a number has, the customer's rate, and all vendors in order."""

    prefix: str
    rate: Rate
    offers: tuple[Offer, ...]


class RouteFile:
    """One route file, mapped; raises RouteFileError where it is none or cut short."""

    def __init__(self, source: str | Path | bytes) -> None:
        """Open a path, or take the bytes."""
        self.data = memoryview(source if isinstance(source, bytes) else _mapped(Path(source)))
        if len(self.data) < HEADER.size or bytes(self.data[:8]) != MAGIC:
            raise RouteFileError("this is no route file")
        (
            _, self.version, start, self.checksum, size, self.prefixes, vendors, groups, self.views,
            moments, self._in_views, sections, currency,
        ) = HEADER.unpack_from(self.data)  # fmt: skip
        if self.version != VERSION:
            raise RouteFileError(f"its version is {self.version}; this reader knows {VERSION}")
        if size != len(self.data):
            raise RouteFileError(f"it has {len(self.data)} of {size} bytes")
        self._rates: dict[int, Rate] = {}
        self.currency = currency.rstrip(b"\0").decode()
        directory = (SECTION.unpack_from(self.data, start + SECTION.size * at) for at in range(sections))
        self.sections = {
            name.decode(): (count, self.data[at : at + length]) for name, count, at, length in directory
        }
        self.vendors = tuple(map(self._vendor, range(vendors)))
        self.groups = {self._text(self._record("GRPS", GROUP, at)[0]): at for at in range(groups)}
        self.moments = [self._record("MOMT", MOMENT, at)[0] for at in range(moments)]
        self.calendars = tuple(map(self._calendar, range(self.sections["CALS"][0])))

    def verify(self) -> None:
        """Raise RouteFileError where the bytes behind the header are not those that were written."""
        if zlib.crc32(self.data[HEADER.size :]) != self.checksum:
            raise RouteFileError("its checksum does not fit: the file was damaged")

    def view(self, when: datetime, sections: tuple[int, ...] | None = None) -> int:
        """Return the number of the view that a moment falls into; ``sections`` in place of those that it falls into."""
        number = bisect_right(self.moments, (when - EPOCH) // timedelta(microseconds=1))
        for at, calendar in enumerate(self.views_by):
            section = calendar.section(when) if sections is None else sections[at]
            number = number * (len(calendar.sections) + 1) + section
        return number

    @property
    def views_by(self) -> tuple[Calendar, ...]:
        """The calendars whose sections have rates of their own."""
        return self.calendars[: self._in_views]

    def index(self, number: str) -> int:
        """Return the index of the number's longest prefix, NONE for none; a leading + is passed over."""
        key = pack(number)
        keys, low, high = self.sections["KEYS"][1], 0, self.prefixes
        while low < high:
            middle = (low + high) // 2
            if keys[KEY * middle : KEY * middle + KEY].tobytes() > key:
                high = middle
            else:
                low = middle + 1
        found, wanted = (low - 1 if low else NONE), unpack(key)
        while found != NONE and not wanted.startswith(self.prefix(found)):
            found = self._word("PRNT", found)
        return found

    def prefix(self, index: int) -> str:
        """Return the prefix at an index."""
        return unpack(self.sections["KEYS"][1][KEY * index : KEY * index + KEY].tobytes())

    def find(self, group: str, number: str, when: datetime) -> Route | None:
        """Return the way of a call that begins at a moment; None where the group does not sell the number.

        Raises KeyError for an unknown group.
        """
        own, index = self.groups[group], self.index(number)
        return None if index == NONE else self.at(own, index, self.view(when))

    def at(self, group: int, index: int, view: int) -> Route | None:
        """Return the route of a prefix in a view."""
        cell = self.value(self.table(view, group), index)
        return (
            None
            if cell == NONE
            else self.route(cell, self.value(self.table(view), index), self.prefix(index))
        )

    def route(self, cell: int, offers: int, prefix: str = "") -> Route | None:
        """Return what a cell and a list of offers say."""
        if cell == NONE:
            return None
        rate, reasons = self._record("CELL", CELL, cell)
        return Route(prefix, self.rate(rate), self._offers(offers, reasons))

    def table(self, view: int, group: int = -1) -> int:
        """Return the number of a view's table: of a group's cells, or of the lists of offers."""
        return self._word("VIEW", view * (len(self.groups) + 1) + group + 1)

    def value(self, table: int, index: int) -> int:
        """Return what a table says of a prefix."""
        offset, count, kind, _, base = self._record("TABL", TABLE, table)
        words = self.sections["RUNS"][1]
        if kind == DENSE:
            found = WORD.unpack_from(words, offset + 4 * index)[0]
        else:
            low, high = 0, count
            while high - low > 1:
                middle = (low + high) // 2
                if WORD.unpack_from(words, offset + 4 * middle)[0] <= index:
                    low = middle
                else:
                    high = middle
            found = WORD.unpack_from(words, offset + 4 * (count + low))[0]
        return self.value(base, index) if found == SAME else int(found)

    def rate(self, number: int) -> Rate:
        """Return a rate by its number."""
        known = self._rates.get(number)
        if known is None:
            *charged, currency, flags, _ = self._record("RATE", RATE, number)
            code = self._text(self._record("CURR", CURRENCY, currency)[0])
            rate, first, connect, minimum, cycle, seconds, grace, free = charged
            known = Rate(rate, first, connect, minimum, cycle, seconds, grace, free, code, bool(flags & 1))
            self._rates[number] = known
        return known

    def worth(self, currency: str) -> str:
        """Return what one unit of a rate's currency is in the file's, as it is written; raises KeyError."""
        for at in range(self.sections["CURR"][0]):
            code, worth = (self._text(each) for each in self._record("CURR", CURRENCY, at))
            if code == currency:
                return worth
        raise KeyError(currency)

    def choose(self, route: Route, when: datetime, draw: Callable[[], float]) -> list[Vendor]:
        """Return the vendors to try for one call, the first first; ``draw`` gives numbers from 0 to below 1.

        Locked ones and those outside their hours are left out. Of each priority, one draw decides among the
        shares who comes first; those that rank alike come in the order of draws by weight, weight 0 last.
        """
        usable = [offer for offer in route.offers if not offer.reason and self.is_open(offer.vendor, when)]
        order: list[Vendor] = []
        for rank in _split(usable, lambda offer, before: offer.vendor.priority == before.vendor.priority):
            mixed = [each for alike in _alike(rank, route) for each in _weighted(alike, draw)]
            order += _shared(mixed, draw) if any(each.share for each in mixed) else mixed
        return order

    def is_open(self, vendor: Vendor, when: datetime) -> bool:
        """Return whether a moment falls into the vendor's hours."""
        return vendor.hours == NO_HOURS or self.calendars[vendor.hours].section(when) == 1

    def dial(self, vendor: Vendor, number: str) -> str:
        """Return the number as it is sent to a vendor."""
        for prefix, other in vendor.rewrite:
            if number.startswith(prefix):
                return other + number[len(prefix) :]
        return number

    def _offers(self, number: int, reasons: int) -> tuple[Offer, ...]:
        count = len(self.vendors)
        why = self.sections["LOCK"][1][reasons * count : reasons * count + count]
        found = []
        for place in range(count):
            vendor, tied, term = self._record("OFFR", OFFER, number * count + place)
            rate = None if term == NONE else self.rate(term)
            found.append(Offer(self.vendors[vendor], rate, why[place], bool(tied)))
        return tuple(found)

    def _vendor(self, at: int) -> Vendor:
        name, via, priority, weight, share, hours, first, count, _, _ = self._record("VEND", VENDOR, at)
        rules = (self._record("RWRT", REWRITE, first + each) for each in range(count))
        return Vendor(
            self._text(name), None if via == NONE else self._text(via), priority, weight, share, hours,
            tuple((self._text(prefix), self._text(other)) for _, prefix, other in rules),
        )  # fmt: skip

    def _calendar(self, at: int) -> Calendar:
        zone, first, count, first_day, days = self._record("CALS", CALENDAR, at)
        parts = [self._record("PART", PART, first + each) for each in range(count)]
        return Calendar(
            ZoneInfo(self._text(zone)),
            {
                self._text(name): [self._record("WIND", WINDOW, window + each) for each in range(windows)]
                for name, window, windows in parts
            },
            frozenset(
                date(1970, 1, 1) + timedelta(days=self._record("HOLI", DAY, first_day + each)[0])
                for each in range(days)
            ),
        )

    def _record(self, section: str, form: Struct, at: int) -> tuple[Any, ...]:
        return form.unpack_from(self.sections[section][1], form.size * at)

    def _word(self, section: str, at: int) -> int:
        return int(self._record(section, WORD, at)[0])

    def _text(self, at: int) -> str:
        texts = self.sections["STRS"][1]
        length = texts[at]
        return texts[at + 1 : at + 1 + length].tobytes().decode()


class Calendar(NamedTuple):
    """A work calendar; windows are days (bit 0 Monday … 6 Sunday, 7 holiday), first minute, end."""

    zone: ZoneInfo
    sections: dict[str, list[tuple[int, int, int]]]
    holidays: frozenset[date]

    def section(self, when: datetime) -> int:
        """Return the number of the section that a moment falls into: 1 is the first, 0 none."""
        local = when.astimezone(self.zone)
        minute, today = local.hour * 60 + local.minute, local.date()
        kinds = self._kind(today), self._kind(today - timedelta(days=1))
        for number, windows in enumerate(self.sections.values(), 1):
            if any(_holds(window, minute, *kinds) for window in windows):
                return number
        return 0

    def _kind(self, day: date) -> int:
        return 1 << (HOLIDAY if day in self.holidays else day.weekday())


def _holds(window: tuple[int, int, int], minute: int, today: int, before: int) -> bool:
    days, start, end = window
    if start < end:
        return bool(days & today) and start <= minute < end
    return (bool(days & today) and minute >= start) or (bool(days & before) and minute < end)


def _split(offers: list[Offer], same: Callable[[Offer, Offer], bool]) -> Iterator[list[Offer]]:
    part: list[Offer] = []
    for offer in offers:
        if part and not same(offer, part[-1]):
            yield part
            part = []
        part.append(offer)
    if part:
        yield part


def _alike(offers: list[Offer], route: Route) -> Iterator[list[Vendor]]:
    """Yield the vendors that rank alike; one that is left out between two of them does not part them."""
    number, rank = {}, 0
    for offer in route.offers:
        rank += not offer.tied
        number[offer.vendor] = rank
    for part in _split(offers, lambda offer, before: number[offer.vendor] == number[before.vendor]):
        yield [offer.vendor for offer in part]


def _weighted(vendors: list[Vendor], draw: Callable[[], float]) -> Iterator[Vendor]:
    rest = list(vendors)
    while len(rest) > 1 and any(vendor.weight for vendor in rest):
        mark = draw() * sum(vendor.weight for vendor in rest)
        for vendor in rest:
            mark -= vendor.weight
            if mark < 0:
                break
        rest.remove(vendor)
        yield vendor
    yield from rest


def _shared(vendors: list[Vendor], draw: Callable[[], float]) -> list[Vendor]:
    mark = draw() * 100
    for vendor in vendors:
        mark -= vendor.share
        if mark < 0:
            return [vendor, *(each for each in vendors if each is not vendor)]
    return vendors


def pack(number: str) -> bytes:
    """Return the key of a number: a nibble a digit, the digit plus one; at most 20, up to the first other sign."""
    nibbles: list[str] = []
    for sign in number.removeprefix("+"):
        if sign not in _DIGIT or len(nibbles) == 2 * KEY:
            break
        nibbles.append(f"{_DIGIT[sign]:x}")
    return bytes.fromhex("".join(nibbles).ljust(2 * KEY, "0"))


def unpack(key: bytes) -> str:
    """Return the digits of a key."""
    return "".join(f"{int(nibble, 16) - 1:d}" for nibble in key.hex().rstrip("0"))


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise RouteFileError(f"{path} is empty") from None
