"""Rows of one deck that do nothing, get in each other's way, or leave a time without a rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from vosctl.rates.compare import TERMS
from vosctl.rates.guard import dearest_minute, plain
from vosctl.rates.route import Vendor
from vosctl.site.decks import Deck, Rate, in_force
from vosctl.site.problems import Problem, Severity

_ONE = Decimal(1)
_DIGITS = "0123456789"


def overlaps(deck: Deck, when: datetime) -> Iterator[Problem]:
    """Yield rows of a deck that change nothing or are never used, and rows whose times overlap or leave a gap."""
    written: dict[tuple[str, str], list[Rate]] = {}
    for row in deck.every:
        written.setdefault((row.prefix, row.section), []).append(row)
    for rows in written.values():
        if len(rows) > 1:
            yield from _times(rows, when)
    manifold = {prefix for (prefix, section), rows in written.items() if section or len(rows) > 1}
    yield from _idle(in_force(deck.every, when, ""), manifold)


def too_dear(deck: Deck, limit: Decimal, worth: Decimal = _ONE, *, whose: str = "") -> Iterator[Problem]:
    """Yield rows whose minute costs more than ``limit``, which is in the site's currency."""
    for row in deck.every:
        cost = dearest_minute(row, worth)
        if not row.blocked and cost > limit:
            yield _warning(
                "rates-max-minute",
                f"{_name(row.prefix)} is {plain(cost)} a minute, and the limit{whose} is {plain(limit)}",
                row,
                "is it a rate in cents, or for another currency? A guard's max_minute_rate locks the vendor there",
            )


def too_dear_for_guard(vendor: Vendor) -> Iterator[Problem]:
    """Yield rows of a vendor that its own guard locks for their price."""
    if vendor.deck and vendor.guard and vendor.guard.max_minute_rate is not None:
        yield from too_dear(
            vendor.deck, vendor.guard.max_minute_rate, vendor.worth, whose=f" of gateway '{vendor.name}'"
        )


def _times(rows: list[Rate], now: datetime) -> Iterator[Problem]:
    """Hold each row of one prefix and section against the next one; what is past is let be."""
    rows = sorted(rows, key=lambda row: row.rank)
    for row, following in pairwise(rows):
        place = f"{following.mark.file}:{following.mark.line}"
        begins = following.valid_from
        if begins is None or row.valid_from == begins:
            yield Problem(
                "rates-contradiction",
                f"{_name(row.prefix)} has another row for the same time ({place}), at {plain(following.rate)} instead of {plain(row.rate)}",
                row.mark,
                hint="the later one counts; keep one of them, or say when each holds: from and until",
            )
        elif row.valid_until is not None and row.valid_until > max(begins, now):
            yield _warning(
                "rates-dates-overlap",
                f"{_name(row.prefix)} holds until {row.valid_until:%Y-%m-%d %H:%M} UTC, and the next row ({place}) counts from {begins:%Y-%m-%d %H:%M}",
                row,
                "let the one end when the next begins",
            )
        elif row.valid_until is not None and row.valid_until < begins and begins > now:
            yield _warning(
                "rates-dates-gap",
                f"{_name(row.prefix)} has no row from {row.valid_until:%Y-%m-%d %H:%M} to {begins:%Y-%m-%d %H:%M} UTC ({place}); a shorter prefix counts then",
                row,
                "let the one end when the next begins",
            )


def _idle(rows: Mapping[str, Rate], manifold: set[str]) -> Iterator[Problem]:
    """Yield rows without effect, of those in force; ``manifold`` prefixes have several rows, which may differ later."""
    path: list[tuple[str, Rate]] = []
    for prefix in sorted(rows):
        row = rows[prefix]
        while path and not prefix.startswith(path[-1][0]):
            path.pop()
        above = path[-1][1] if path else None
        if above is not None and not {prefix, above.prefix} & manifold and _same(row, above):
            yield _warning(
                "rates-redundant",
                f"{_name(prefix)} is on the terms of {_name(above.prefix)} ({above.mark.file}:{above.mark.line}), which it would have without a row",
                row,
                "leave the row out",
            )
        if prefix and all(prefix + digit in rows for digit in _DIGITS):
            yield _warning(
                "rates-shadowed",
                f"{prefix} is never used: all ten longer prefixes have rows",
                row,
                "leave the row out",
            )
        path.append((prefix, row))


def _same(row: Rate, above: Rate) -> bool:
    return all(getattr(row, term) == getattr(above, term) for term in TERMS)


def _warning(rule: str, message: str, row: Rate, hint: str) -> Problem:
    return Problem(rule, message, row.mark, hint=hint, severity=Severity.WARNING)


def _name(prefix: str) -> str:
    return prefix or "the default row"
