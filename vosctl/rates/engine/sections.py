"""When a work calendar's sections change, as a list of moments: what bulk needs in place of a question a call."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from vosctl.site.calendar import DAY_MINUTES, Calendar

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_HOUR_MINUTES = 60


def turns(calendar: Calendar, first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Return the moments from ``first`` to ``last`` (aware) at which another section begins, and which.

    The first entry is the section of the hour in which ``first`` lies. Within an hour without a change of
    the zone's offset only minutes at which a window begins or ends, or a day, are looked at; else all.
    """
    zone = ZoneInfo(calendar.timezone)
    edges = {0} | {edge % DAY_MINUTES for w in _windows(calendar) for edge in w}
    hour = first.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    found: list[tuple[datetime, str]] = []
    while hour <= last:
        for minute in _minutes(hour, zone, edges):
            moment = hour + minute * _MINUTE
            section = calendar.section(moment)
            if not found or found[-1][1] != section:
                found.append((moment, section))
        hour += _HOUR
    return found


def _windows(calendar: Calendar) -> list[tuple[int, int]]:
    return [(window.start, window.end) for windows in calendar.sections.values() for window in windows]


def _minutes(hour: datetime, zone: ZoneInfo, edges: set[int]) -> list[int]:
    """Return the minutes of an hour at which a section may change."""
    begin, end = hour.astimezone(zone), (hour + _HOUR).astimezone(zone)
    if begin.utcoffset() != end.utcoffset():
        return list(range(_HOUR_MINUTES))
    start = begin.hour * _HOUR_MINUTES + begin.minute
    inside = ((edge - start) % DAY_MINUTES for edge in edges)
    return [0, *sorted(minute for minute in inside if 0 < minute < _HOUR_MINUTES)]
