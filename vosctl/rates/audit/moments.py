"""The moments at which decks must be looked at so that nothing which is coming stays unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from vosctl.site.decks import Deck

AHEAD = timedelta(days=90)
MOST = 16
_WEEK_HOURS = 7 * 24


def moments(decks: Iterable[Deck], start: datetime) -> tuple[datetime, ...]:
    """Return ``start``, when rows begin or end to hold in the 90 days after it, and one moment of each mix of sections.

    A mix is what the decks' calendars say together of an hour of the coming week. At most 16 moments,
    the earliest.
    """
    every = list({id(deck): deck for deck in decks}.values())
    changes = {when for deck in every for when in deck.moments if start < when <= start + AHEAD}
    mixes = [when for when in _mixes([deck for deck in every if deck.calendar], start) if when != start]
    return (start, *sorted({*changes, *mixes})[: MOST - 1])


def _mixes(decks: Sequence[Deck], start: datetime) -> Iterator[datetime]:
    seen: set[tuple[str, ...]] = set()
    for hour in range(_WEEK_HOURS if decks else 0):
        when = start if not hour else start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=hour)
        mix = tuple(deck.section(when) for deck in decks)
        if mix not in seen:
            seen.add(mix)
            yield when
