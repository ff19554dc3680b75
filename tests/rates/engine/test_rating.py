from __future__ import annotations

from datetime import timezone
from decimal import Decimal
from typing import Any

import messy

from vosctl.rates.billing import billed_seconds, charge
from vosctl.rates.engine.rated import RATED, UNIT
from vosctl.rates.engine.rating import Rating, survey
from vosctl.rates.pricing import in_site_currency
from vosctl.site.decks import Deck, Rates

PARTS = ("state", "source", "prefix", "destination", "seconds", "total")


def expected(rates: Rates, deck: Deck | None, call: dict[str, Any]) -> tuple[object, ...]:
    """Return what one side of a call must come to, by the functions for one call."""
    if deck is None:
        return ("no deck", None, None, "", None, None)
    row = deck.find(call["callee"], call["started"].replace(tzinfo=timezone.utc))
    if row is None or row.blocked:
        return ("blocked" if row else "no rate", deck.name, None, row.destination if row else "", None, None)
    seconds = Decimal(call["duration_ms"]) / 1000
    total = in_site_currency(rates, deck, charge(row, seconds, deck.rounding, tax=deck.tax))
    return ("", deck.name, row.prefix, row.destination, billed_seconds(row, seconds), int(total * UNIT))


def differences(rates: Rates, rated: Any) -> list[tuple[object, object, object]]:
    found = []
    for call in rated.to_pylist():
        for side, decks in (("customer", rates.groups), ("vendor", rates.clearing)):
            want = expected(rates, decks.get(call[f"{side}_deck"]), call)
            got = tuple(call[f"{side}_{part}"] for part in PARTS)
            if got != want:
                found.append((call, got, want))
    return found


def rate(connection: Any, rates: Rates, calls: str, **options: Any) -> Any:
    needs = survey(connection, calls)
    assert needs is not None
    return Rating(connection, rates, needs, **options).run(calls, lambda rated: f"from {rated}")


def test_a_hundred_thousand_calls_cost_what_each_alone_would(connection: Any, load: Any) -> None:
    different = []
    for seed in range(10):
        rates = messy.site(seed)
        rated = rate(connection, rates, load(messy.calls(seed, rates, 5_000)))
        assert rated.column_names == list(RATED)
        different += differences(rates, rated)
    assert different == []
