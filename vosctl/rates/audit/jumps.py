"""Decks held against those of an earlier revision: rates that jump, and decks that lose many of their prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.billing import divide
from vosctl.rates.guard import plain
from vosctl.site.decks import Deck, Rate, Rounding
from vosctl.site.problems import Problem, Severity

_PER_CENT = Rounding(places=1)
_HUNDRED = Decimal(100)


class Limits(Struct, frozen=True):
    """Changes, in per cent, above which a rate's rise or fall, and a deck's loss of prefixes, are suspicious."""

    rise: Decimal = Decimal(50)
    fall: Decimal = Decimal(50)
    shrink: Decimal = Decimal(10)


def jumps(old: Deck, new: Deck, when: datetime, limits: Limits, revision: str) -> Iterator[Problem]:
    """Yield what changed too much from ``old`` to ``new``, of rows that hold at a moment or begin later."""
    before = old.at(when)
    known = {_key(row) for row in old.every}
    for row in new.every:
        if _key(row) not in known and not row.blocked and (row.valid_until is None or row.valid_until > when):
            was = before.get(row.prefix) or old.find(row.prefix, when)
            if was is not None and not was.blocked:
                yield from _jump(was, row, limits, revision)
    kept = {row.prefix for row in new.every}
    gone = sorted(before.keys() - kept)
    if before and len(gone) * _HUNDRED > limits.shrink * len(before):
        share = divide(len(gone) * _HUNDRED, Decimal(len(before)), _PER_CENT)
        yield Problem(
            "rates-shrunk",
            f"'{new.name}' lacks {len(gone)} of the {len(before)} prefixes it had in {revision}, {plain(share)} %: {', '.join(gone[:3])} …",
            new.mark,
            hint="is the file a part of the deck only? vosctl rates diff shows all of it",
            severity=Severity.WARNING,
        )


def _jump(was: Rate, row: Rate, limits: Limits, revision: str) -> Iterator[Problem]:
    if was.rate == row.rate or not _too_far(was.rate, row.rate, limits):
        return
    share = f" ({divide((row.rate - was.rate) * _HUNDRED, was.rate, _PER_CENT):+f} %)" if was.rate else ""
    by = "" if was.prefix == row.prefix else f" by the row for {was.prefix or 'all others'}"
    yield Problem(
        "rates-jump",
        f"{row.prefix or 'the default row'} goes from {plain(was.rate)}{by} in {revision} to {plain(row.rate)}{share}",
        row.mark,
        hint="is the decimal point where it belongs, and the currency right? --rise and --fall set what is suspicious",
        severity=Severity.WARNING,
    )


def _too_far(was: Decimal, now: Decimal, limits: Limits) -> bool:
    if now > was:
        return (now - was) * _HUNDRED > limits.rise * was
    return (was - now) * _HUNDRED > limits.fall * was


def _key(row: Rate) -> tuple[object, ...]:
    return row.prefix, row.section, row.valid_from, row.rate
