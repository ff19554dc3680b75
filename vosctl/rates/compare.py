"""Two decks held against each other, row by row: what is new, gone, dearer, cheaper or on other terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum

from msgspec import Struct

from vosctl.site.decks import Deck, Rate

TERMS = (
    "rate",
    "first_rate",
    "first_seconds",
    "cycle",
    "connect",
    "minimum",
    "grace",
    "free_seconds",
    "valid_until",
    "blocked",
)


class Kind(Enum):
    """What became of a row; its price a minute decides, else its other terms."""

    UP = "up"
    DOWN = "down"
    NEW = "new"
    GONE = "gone"
    TERMS = "terms"


class Move(Struct, frozen=True):
    """One row before and now; ``terms`` are the fields of ``Rate`` that differ."""

    kind: Kind
    old: Rate | None
    new: Rate | None
    terms: tuple[str, ...] = ()

    @property
    def row(self) -> Rate:
        """The row as it is now, or as it was."""
        row = self.new or self.old
        assert row is not None
        return row


def moves(old: Deck | None, new: Deck | None) -> Iterator[Move]:
    """Yield what became of each row that is not the same, in order of prefix, section and time."""
    before, after = _rows(old), _rows(new)
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was is None or now is None:
            yield Move(Kind.GONE if now is None else Kind.NEW, was, now)
        elif terms := differing(was, now):
            yield Move(_kind(was, now), was, now, terms)


def differing(old: Rate, new: Rate) -> tuple[str, ...]:
    """Return the terms that differ; a first rate that holds for no second is none."""
    found = [term for term in TERMS if getattr(old, term) != getattr(new, term)]
    if "first_rate" in found and not old.first_seconds and not new.first_seconds:
        found.remove("first_rate")
    return tuple(found)


def count(found: Sequence[Move], kind: Kind) -> int:
    """Return how many moves are of a kind."""
    return sum(move.kind is kind for move in found)


def _kind(old: Rate, new: Rate) -> Kind:
    if old.rate == new.rate:
        return Kind.TERMS
    return Kind.UP if new.rate > old.rate else Kind.DOWN


def _rows(deck: Deck | None) -> dict[tuple[str, str, str], Rate]:
    """Return the deck's rows by what tells them apart; of two with the same, the later one counts."""
    return {(row.prefix, row.section, _moment(row.valid_from)): row for row in deck.every} if deck else {}


def _moment(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
