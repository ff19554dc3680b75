"""Dates as vendors write them: one reading, or refused; a day without a zone begins in the deck's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from vosctl.rates.files.cells import CellError, quoted, tidy

_ISO = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ](?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:\.0+)?(?P<zone>[zZ]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_TIME = r"(?:[ T,]+(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?"
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})[./](?P<month>[0-9]{1,2})[./](?P<day>[0-9]{1,2})" + _TIME)
_COMPACT = re.compile(r"(?P<year>20[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})" + _TIME)
_NUMBERS = re.compile(r"(?P<first>[0-9]{1,2})(?P<mark>[./-])(?P<second>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4}|[0-9]{2})" + _TIME)  # fmt: skip
_DAY_MONTH = re.compile(r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?[ .-]+(?P<name>[A-Za-z]{3,9})[ .,-]+(?P<year>[0-9]{4}|[0-9]{2})" + _TIME)  # fmt: skip
_MONTH_DAY = re.compile(r"(?P<name>[A-Za-z]{3,9})[ .-]+(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?[ ,.-]+(?P<year>[0-9]{4})" + _TIME)  # fmt: skip
_SERIAL = re.compile(r"(?P<days>[2-9][0-9]{4})(?:\.[0-9]+)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")  # fmt: skip
_NEVER = frozenset(
    {"", "-", "n/a", "none", "open", "asap", "immediate", "immediately", "now", "until further notice", "ufn", "unlimited", "null"}
)  # fmt: skip
_EXCEL_EPOCH = date(1899, 12, 30)
_CENTURY = 2000


class Moment(Struct, frozen=True):
    """A moment in UTC, None where the cell sets no bound; ``whole_day``: the cell names a day without a time."""

    when: datetime | None
    note: str = ""
    whole_day: bool = False

    def next_day(self, zone: str) -> Moment:
        """Return the end of the day that the cell names as the last one, in the deck's own time."""
        if self.when is None:
            return self
        local = self.when.astimezone(ZoneInfo(zone))
        if not self.whole_day and (local.hour, local.minute) != (23, 59):
            return self
        following = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
        return Moment(following.astimezone(timezone.utc), self.note)


@lru_cache(maxsize=1 << 12)
def read_moment(text: str, date_format: str, zone: str) -> Moment:
    """Return the moment in a cell; ``date_format`` is the mapping's, as ``%d/%m/%Y``, "" where it says none.

    A number of five digits is a spreadsheet's count of days. Raises CellError for what is no date, and
    for one that may be read in two ways.
    """
    clean = tidy(text)
    if clean.casefold() in _NEVER:
        plain = clean in {"", "-"}
        return Moment(None, "" if plain else f"date {quoted(text)} read as no bound")
    try:
        return _read(clean, text, date_format, zone)
    except (ValueError, OverflowError):
        raise CellError(f"{quoted(text)} is no date") from None


def day_order(texts: Iterable[str]) -> str:
    """Return the date format that the cells of a column leave no doubt about, "" where they do."""
    orders, marks = set(), set()
    for match in filter(None, map(_NUMBERS.fullmatch, map(tidy, texts))):
        marks.add((match["mark"], len(match["year"])))
        if order := _order(int(match["first"]), int(match["second"]), match["mark"]):
            orders.add(order)
    if len(orders) != 1 or len(marks) != 1:
        return ""
    mark, digits = marks.pop()
    year = "%Y" if digits == 4 else "%y"
    return mark.join(("%d", "%m", year) if orders.pop() == "day" else ("%m", "%d", year))


def _read(clean: str, text: str, date_format: str, zone: str) -> Moment:
    iso = _ISO.fullmatch(clean)
    if iso:
        moment = datetime.fromisoformat(f"{iso['day']}T{_padded(iso['time'])}{_offset(iso['zone'])}")
        return Moment(_in_utc(moment, zone), whole_day=iso["time"] is None)
    if date_format and (said := _said(clean, date_format)):
        return Moment(_in_utc(said[0], zone), whole_day=said[1])
    if date_format and _NUMBERS.fullmatch(clean):
        raise CellError(f"{quoted(text)} is no date as {date_format}")
    serial = _SERIAL.fullmatch(clean)
    if serial:
        day = _EXCEL_EPOCH + timedelta(days=int(serial["days"]))
        return _moment(day, None, zone, f"date {quoted(text)}, a spreadsheet's count of days, read as {day}")
    return _written(clean, text, zone)


def _said(clean: str, date_format: str) -> tuple[datetime, bool] | None:
    """Return the moment in the mapping's form, with or without a time after it, and whether it is a day."""
    for time in ("", " %H:%M", " %H:%M:%S"):
        try:
            when = datetime.strptime(clean, date_format + time)  # noqa: DTZ007  the deck's zone follows
        except ValueError:
            continue
        return when, not time and not re.search("%[HIMSTcXp]", date_format)
    return None


def _written(clean: str, text: str, zone: str) -> Moment:
    match = _YEAR_FIRST.fullmatch(clean) or _COMPACT.fullmatch(clean)
    if match:
        day = date(int(match["year"]), int(match["month"]), int(match["day"]))
        return _moment(day, match["time"], zone, "")
    match = _DAY_MONTH.fullmatch(clean) or _MONTH_DAY.fullmatch(clean)
    if match:
        year, note = _year(match["year"], text)
        return _moment(date(year, _month(match["name"]), int(match["day"])), match["time"], zone, note)
    match = _NUMBERS.fullmatch(clean)
    if match is None:
        raise CellError(f"{quoted(text)} is no date")
    return _numbers(match, text, zone)


def _numbers(match: re.Match[str], text: str, zone: str) -> Moment:
    first, second = int(match["first"]), int(match["second"])
    order = _order(first, second, match["mark"])
    if not order:
        raise CellError(
            f"{quoted(text)} may be day or month first; say date_format: '%d/%m/%Y' or '%m/%d/%Y'"
        )
    year, note = _year(match["year"], text)
    day, month = (first, second) if order == "day" else (second, first)
    return _moment(date(year, month, day), match["time"], zone, note)


def _order(first: int, second: int, mark: str) -> str:
    """Return whether day or month comes first; with dots it is the day wherever dates have dots."""
    if mark == "." or first > 12 or first == second:
        return "day"
    return "month" if second > 12 else ""


def _moment(day: date, time: str | None, zone: str, note: str) -> Moment:
    moment = datetime.fromisoformat(f"{day}T{_padded(time)}")
    return Moment(_in_utc(moment, zone), note, whole_day=time is None)


def _year(digits: str, text: str) -> tuple[int, str]:
    if len(digits) == 4:
        return int(digits), ""
    return _CENTURY + int(digits), f"date {quoted(text)} read as of the year {_CENTURY + int(digits)}"


def _month(name: str) -> int:
    short = name.casefold()[:3]
    if short not in _MONTHS or not _NAMES[_MONTHS.index(short)].startswith(name.casefold()[:9]):
        known = name.casefold() == "sept"
        if not known:
            raise ValueError(name)
    return _MONTHS.index(short) + 1


def _padded(time: str | None) -> str:
    if time is None:
        return "00:00:00"
    return f"{time:0>5}" if time.count(":") == 1 else f"{time:0>8}"


def _offset(zone: str | None) -> str:
    if zone is None:
        return ""
    return "+00:00" if zone in "zZ" else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"


def _in_utc(moment: datetime, zone: str) -> datetime:
    local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(timezone.utc)
