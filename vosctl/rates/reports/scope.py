"""Which calls a report is about, and into which periods of local time they fall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

HOUR, DAY, MONTH = "hour", "day", "month"
PERIODS = {HOUR: "h", DAY: "D", MONTH: "M"}
SHOWN = {HOUR: "%Y-%m-%d %H:00", DAY: "%Y-%m-%d", MONTH: "%Y-%m"}
_STEP = timedelta(hours=1)


class Scope(Struct, frozen=True):
    """Bounds (aware; the end excluded), the time zone of periods, and whom the calls are of; "" is everybody.

    ``destination`` is how the customer's deck calls it.
    """

    begin: datetime | None = None
    end: datetime | None = None
    zone: str = "UTC"
    customer: str = ""
    vendor: str = ""
    destination: str = ""

    def of(self, calls: Any) -> Any:
        """Return the calls (ibis) that are meant."""
        if self.begin is not None:
            calls = calls.filter(calls.started >= naive(self.begin))
        if self.end is not None:
            calls = calls.filter(calls.started < naive(self.end))
        for name, column in (
            (self.customer, "customer"),
            (self.vendor, "vendor"),
            (self.destination, "customer_destination"),
        ):
            if name:
                calls = calls.filter(calls[column] == name)
        return calls

    def period(self, calls: Any, period: str, span: tuple[datetime, datetime]) -> Any:
        """Return (ibis) the beginning of the period that each call falls into, in local time.

        Not every engine knows time zones alike, so the offsets that hold within ``span`` are written out.
        """
        import ibis  # noqa: PLC0415  only where reports are made

        (_, offset), *later = offsets(self.zone, *span)
        local = calls.started + ibis.interval(seconds=offset)
        for since, seconds in later:
            local = (calls.started >= naive(since)).ifelse(
                calls.started + ibis.interval(seconds=seconds), local
            )
        return local.truncate(PERIODS[period])


def naive(moment: datetime) -> datetime:
    """Return a moment as calls have it: UTC, without saying so."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def offsets(zone: str, first: datetime, last: datetime) -> Iterator[tuple[datetime, int]]:
    """Yield the offset from UTC in seconds at ``first``, then each other one with the moment it begins at, up to ``last``.

    Clocks change on whole hours of UTC, or halves: between two looks an hour apart the change is found by halving.
    """
    place = ZoneInfo(zone)
    at, seconds = first, _offset(place, first)
    yield first, seconds
    while at < last:
        then = min(at + 24 * _STEP, last)
        if _offset(place, then) != seconds:
            at = _change(place, at, then)
            seconds = _offset(place, at)
            yield at, seconds
        else:
            at = then


def _change(place: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first second after ``before`` at which another offset holds."""
    old = _offset(place, before)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(place, datetime.fromtimestamp(middle, timezone.utc)) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, timezone.utc)


def _offset(place: ZoneInfo, moment: datetime) -> int:
    found = moment.astimezone(place).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
