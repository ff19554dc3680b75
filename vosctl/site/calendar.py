"""A work calendar: into which section of the week a moment falls, in the place's own time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from msgspec import Struct, field

UTC = "UTC"
HOLIDAY = 7
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
DAY_MINUTES = 24 * 60


class Window(Struct, frozen=True):
    """Days (0 Monday to 6 Sunday, 7 a holiday) and minutes of the day, the end excluded.

    A window whose end is not after its start runs past midnight; it belongs to the day it begins on.
    """

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, before: int, minute: int) -> bool:
        """Return whether a minute of ``day`` lies in it; ``before`` is the kind of the day before."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or (before in self.days and minute < self.end)


class Calendar(Struct, frozen=True):
    """Sections by name, each with its windows; the first that holds counts. A holiday is no other day."""

    name: str
    timezone: str
    sections: Mapping[str, tuple[Window, ...]]
    holidays: frozenset[date] = field(default_factory=frozenset)

    def section(self, when: datetime) -> str:
        """Return the section that a moment falls into, "" for none."""
        local = when.astimezone(ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        today = self.day(local.date())
        before = self.day(date.fromordinal(local.toordinal() - 1))
        for name, windows in self.sections.items():
            if any(window.holds(today, before, minute) for window in windows):
                return name
        return ""

    def day(self, day: date) -> int:
        """Return the kind of a day: 0 Monday to 6 Sunday, or 7."""
        return HOLIDAY if day in self.holidays else day.weekday()
