"""When what rows hold: the views of a node's decks, each one constant, and the rows of a deck in each.

A view is a time between two moments at which any row begins or ends, in one section of each work calendar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import product

from msgspec import Struct

from vosctl.errors import VosctlError
from vosctl.site.calendar import Calendar
from vosctl.site.decks import Deck, Rate, in_force

MOST_VIEWS = 4096
_EVER = datetime.min.replace(tzinfo=timezone.utc)

State = tuple[datetime, str]
"""A deck's moment from which nothing changes any more until the next, and the section of its calendar."""


class View(Struct, frozen=True):
    """``start`` is the moment at which it begins; ``sections`` are those of the clock's calendars, "" for none."""

    start: datetime
    sections: tuple[str, ...]


class Clock(Struct, frozen=True, dict=True):
    """The moments at which any deck changes, in order, and the calendars whose sections decks have rows for."""

    moments: tuple[datetime, ...]
    calendars: tuple[Calendar, ...]

    @classmethod
    def of(cls, decks: Sequence[Deck]) -> Clock:
        """Return the clock of decks; raises VosctlError where they have too many views."""
        moments = sorted({moment for deck in decks if deck.entries for moment in deck.moments})
        calendars: list[Calendar] = []
        for deck in decks:
            if deck.calendar and deck.calendar not in calendars and any(row.section for row in deck.entries):
                calendars.append(deck.calendar)
        views = len(moments) + 1
        for calendar in calendars:
            views *= len(calendar.sections) + 1
        if views > MOST_VIEWS:
            raise VosctlError(
                f"the decks change at {len(moments)} moments in {len(calendars)} calendars: {views} views,"
                f" {MOST_VIEWS} at most",
                hint="take out rows that ended long ago, or let vendors share a calendar",
            )
        return cls(tuple(moments), tuple(calendars))

    def views(self) -> Iterator[View]:
        """Yield the views in the order of their numbers."""
        sections = [("", *calendar.sections) for calendar in self.calendars]
        for start in (_EVER, *self.moments):
            for chosen in product(*sections):
                yield View(start, chosen)

    def state(self, deck: Deck, view: View) -> State:
        """Return the deck's own state in a view."""
        if not deck.entries:
            return _EVER, ""
        start = max((moment for moment in deck.moments if moment <= view.start), default=_EVER)
        if deck.calendar is None or deck.calendar not in self.calendars:
            return start, ""
        return start, view.sections[self.calendars.index(deck.calendar)]


def rows(deck: Deck, state: State) -> Mapping[str, Rate]:
    """Return the rows in force in a state."""
    return in_force(deck.entries, *state) if deck.entries else deck.rows
