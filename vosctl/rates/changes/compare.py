"""Two decks held against each other as they are at a moment: up, down, new, gone, on other terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.billing import divide
from vosctl.rates.compare import Kind, differing
from vosctl.site.decks import Deck, Rate, Rounding, in_force

_PER_CENT = Rounding(places=1)


class Change(Struct, frozen=True):
    """A prefix whose row changes: the rows that price it before and after, if only those of a shorter prefix.

    ``terms`` are the fields of ``Rate`` that differ between rows of the prefix's own.
    """

    kind: Kind
    prefix: str
    section: str
    old: Rate | None
    new: Rate | None
    terms: tuple[str, ...] = ()

    @property
    def row(self) -> Rate:
        """The prefix's own row as it is now, or as it was."""
        row = self.old if self.kind is Kind.GONE else self.new
        assert row is not None
        return row

    @property
    def percent(self) -> Decimal | None:
        """How much the rate a minute rises, in per cent; None where there was none."""
        if self.old is None or self.new is None or not self.old.rate:
            return None
        return divide((self.new.rate - self.old.rate) * 100, self.old.rate, _PER_CENT)


def changes(old: Deck, new: Deck, when: datetime) -> list[Change]:
    """Return what changes at a moment, in order of section and prefix; of sections the rows that are their own."""
    sections = sorted({row.section for deck in (old, new) for row in deck.every} | {""})
    return [change for section in sections for change in _of(old, new, when, section)]


def later(old: Deck, new: Deck, when: datetime) -> tuple[datetime, ...]:
    """Return the moments after this one at which rows of either deck begin or end to hold."""
    return tuple(sorted({moment for deck in (old, new) for moment in deck.moments if moment > when}))


def longest(rows: Mapping[str, Rate], number: str) -> Rate | None:
    """Return the row of the longest prefix of a number."""
    found = (rows.get(number[:length]) for length in range(len(number), -1, -1))
    return next((row for row in found if row is not None), None)


def _of(old: Deck, new: Deck, when: datetime, section: str) -> Iterator[Change]:
    before, after = (in_force(deck.every, when, section) for deck in (old, new))
    for prefix in sorted({*before, *after}):
        was, now = before.get(prefix), after.get(prefix)
        if section and section not in {row.section for row in (was, now) if row}:
            continue
        if was is None:
            yield Change(Kind.NEW, prefix, section, longest(before, prefix), now)
        elif now is None:
            yield Change(Kind.GONE, prefix, section, was, longest(after, prefix))
        elif terms := tuple(term for term in differing(was, now) if term != "valid_until"):
            kind = (
                Kind.TERMS
                if was.rate == now.rate or was.blocked or now.blocked
                else Kind.UP
                if now.rate > was.rate
                else Kind.DOWN
            )
            yield Change(kind, prefix, section, was, now, terms)
