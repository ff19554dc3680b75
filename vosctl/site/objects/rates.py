"""Builds rate decks; money is exact from the text as written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from vosctl.site.decks import Deck, Rate, Rates
from vosctl.site.objects.fields import Fields, Workshop
from vosctl.site.objects.scalars import parse_money
from vosctl.site.tree import Mark

_PREFIX = re.compile(r"[0-9]{0,20}")
_ZERO = Decimal(0)
_CYCLE = 60
_CURRENCY = "EUR"


def build_rates(fields: Fields, shop: Workshop) -> Rates:
    """Return all decks that a node knows; equal trees of several nodes become one deck."""
    return Rates(
        currency=fields.text("currency") or _CURRENCY,
        groups=_decks(fields.below("groups"), shop),
        clearing=_decks(fields.below("clearing"), shop),
    )


def _decks(fields: Fields, shop: Workshop) -> Mapping[str, Deck]:
    decks = {}
    for name, entry in fields.entries():
        mark = fields.tree.key_marks.get(name, entry.tree.mark)
        decks[name] = shop.once(f"deck {fields.path} {name}", (entry.tree,), _maker(name, entry, mark))
    return decks


def _maker(name: str, entry: Fields, mark: Mark) -> Callable[[], Deck]:
    return lambda: _deck(name, entry, mark)


def _deck(name: str, fields: Fields, mark: Mark) -> Deck:
    rows = {}
    table = fields.below("rows")
    for prefix, entry in table.entries():
        place = table.tree.key_marks.get(prefix, entry.tree.mark)
        rate = _rate(prefix, entry, place) if _PREFIX.fullmatch(prefix) else None
        if rate is not None:
            rows[prefix] = rate
    return Deck(name, rows, mark)


def _rate(prefix: str, fields: Fields, mark: Mark) -> Rate | None:
    rate = fields.parsed("rate", parse_money)
    first_rate = fields.parsed("first_rate", parse_money)
    connect = fields.parsed("connect", parse_money)
    if rate is None:
        if "rate" not in fields:
            message = f"the row '{prefix}' lacks rate"
            fields.problems.error(
                "missing-key", message, mark, path=fields.path, hint="add rate: 0.0125, per minute"
            )
        return None
    first_seconds = fields.integer("first_seconds") or 0
    if first_rate is not None and not first_seconds:
        message = "first_rate does nothing without first_seconds"
        fields.warn(
            "first-rate-unused", message, key="first_rate", hint="say how long it holds: first_seconds: 60"
        )
    return Rate(
        prefix=prefix,
        rate=rate,
        cycle=fields.integer("cycle") or _CYCLE,
        first_rate=rate if first_rate is None else first_rate,
        first_seconds=first_seconds,
        connect=_ZERO if connect is None else connect,
        mark=mark,
    )
