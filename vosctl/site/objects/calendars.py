"""Builds work calendars: sections of the week and holidays, in a place's own time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vosctl.site.calendar import DAY_MINUTES, DAYS, UTC, Calendar, Window
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import WrongValueError
from vosctl.site.suggest import did_you_mean
from vosctl.site.tree import Scalar

_HOUR = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_WEEK = frozenset(range(7))


def build_calendars(table: Fields) -> Mapping[str, Calendar]:
    """Return each calendar by its name."""
    return {name: _calendar(name, entry) for name, entry in table.entries()}


def parse_timezone(value: Scalar) -> str:
    """Return the name of a time zone that this machine knows (IANA)."""
    try:
        return ZoneInfo(value.text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "write a name of the IANA database, as Europe/London or UTC"
        raise WrongValueError("unknown-timezone", f"no time zone is named '{value.text}'", hint) from None


def _calendar(name: str, fields: Fields) -> Calendar:
    sections = fields.below("sections")
    windows = {}
    for section in sections.tree.items:
        found = [build_window(entry) for entry in sections.listed_mappings(section)]
        windows[section] = tuple(window for window in found if window is not None)
    return Calendar(
        name=name,
        timezone=fields.parsed("timezone", parse_timezone) or UTC,
        sections=windows,
        holidays=frozenset(fields.all_parsed("holidays", _day)),
    )


def build_window(fields: Fields) -> Window | None:
    """Return a window of the week; None (and a problem) for one that never opens."""
    start, end = (fields.parsed(key, _minute) for key in ("from", "until"))
    days = frozenset(fields.all_parsed("days", _weekday)) if "days" in fields else _WEEK
    if start == end and start is not None:
        fields.error(
            "window-empty", "from and until are the same", key="until", hint="a whole day: 00:00 to 24:00"
        )
        return None
    return Window(days, start or 0, DAY_MINUTES if end is None else end)


def _minute(value: Scalar) -> int:
    match = _HOUR.fullmatch(value.text)
    if match is None:
        raise WrongValueError("bad-hour", f"'{value.text}' is not a time of day", 'write "08:00", or "24:00"')
    return DAY_MINUTES if match[1] is None else int(match[1]) * 60 + int(match[2])


def _weekday(value: Scalar) -> int:
    if value.text not in DAYS:
        message = f"'{value.text}' is no day{did_you_mean(value.text, DAYS)}"
        raise WrongValueError("bad-day", message, f"days: {', '.join(DAYS)}")
    return DAYS.index(value.text)


def _day(value: Scalar) -> date:
    try:
        return date.fromisoformat(value.text)
    except ValueError:
        raise WrongValueError("bad-day", f"'{value.text}' is no date", "write 2026-12-25") from None
