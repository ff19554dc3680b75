"""Volume tiers and packages in bulk, held against each call worked out alone, in the order in which they began."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import messy
import pytest
from msgspec.structs import replace

from vosctl.rates.engine.rated import UNIT
from vosctl.rates.engine.rating import Rating, survey
from vosctl.rates.pricing import Caller, package, price
from vosctl.site.decks import Account, Deck, Package, Rate, Rates

BEGIN = datetime(
    2026, 10, 30, 12, tzinfo=timezone.utc
)  # a month ends in Berlin an hour before it does in UTC
GOLD = Package("gold", 40, ("1", "20"), Decimal(5), messy.MARK)
MORE = Package("more", 25, ("2", "3"), Decimal(5), messy.MARK)


def site(seed: int) -> Rates:
    """A messy site whose decks have tiers, some of them a calendar, and accounts with packages and rates of their own."""
    rng = random.Random(seed)
    groups = {name: messy.deck(rng, name, tiers=True) for name in ("gold's", "plain")}
    groups["plain"] = replace(groups["plain"], calendar=None, entries=tuple(messy.rows(rng, 40)))
    groups["plain"] = replace(
        groups["plain"], entries=tuple(row for row in groups["plain"].entries if not row.section), tiers=()
    )
    clearing = {"orbit": messy.deck(rng, "orbit", tiers=True), "polar": messy.deck(rng, "polar")}
    private = messy.deck(rng, "acme (private)", tiers=True)
    accounts = {
        "acme": Account("acme", "gold's", private, (), ("gold", "more"), messy.MARK),
        "bolt": Account("bolt", "gold's", None, (), ("more",), messy.MARK),
    }
    return Rates("EUR", groups, clearing, {"USD": Decimal("0.9217"), "IRR": Decimal("0.0000217")},
                 accounts=accounts, packages={"gold": GOLD, "more": MORE})  # fmt: skip


def calls(seed: int, count: int) -> dict[str, list[object]]:
    rng = random.Random(seed)
    table: dict[str, list[object]] = defaultdict(list)
    for at in range(count):
        customer = rng.choice(("acme", "bolt", "cora", None))
        deck = "gold's" if customer in {"acme", "bolt"} else rng.choice(("gold's", "plain", "unknown", None))
        row = {
            "call_id": f"{at:05}",
            "started": (BEGIN + timedelta(minutes=rng.randrange(5000))).replace(tzinfo=None),
            "duration_ms": rng.choice((0, 2_500, 59_999, 60_000, rng.randrange(1, 400_000))),
            "callee": "".join(rng.choice("0123") for _ in range(rng.randint(1, 7))),
            "customer": customer,
            "customer_deck": deck,
            "vendor": rng.choice(("orbit", "polar", None)),
            "vendor_deck": rng.choice(("orbit", "polar", None)),
        }
        for name, value in row.items():
            table[name].append(value)
    return table


class Alone:
    """Prices each call by the functions for one call, remembering what the months held before it."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._seconds: dict[object, int] = defaultdict(int)
        self._packages: dict[object, Decimal] = defaultdict(Decimal)

    def customer(self, call: dict[str, Any]) -> int | None:
        account = self._rates.accounts.get(call["customer"] or "")
        decks = [self._rates.groups.get(call["customer_deck"] or ""), account.private if account else None]
        seconds = Decimal(call["duration_ms"]) / 1000
        paid = package(self._rates, Caller(account=call["customer"]), call["callee"])
        if paid is not None:
            key = call["customer"], paid.name, f"{call['started']:%Y-%m}"
            left = max(Decimal(0), paid.minutes * 60 - self._packages[key])
            self._packages[key] += seconds
            seconds = max(Decimal(0), seconds - left)
        amounts = [self._amount(deck, call, "customer", seconds) for deck in decks]
        return min((amount for amount in amounts if amount is not None), default=None)

    def vendor(self, call: dict[str, Any]) -> int | None:
        deck = self._rates.clearing.get(call["vendor_deck"] or "")
        return self._amount(deck, call, "vendor", Decimal(call["duration_ms"]) / 1000)

    def _amount(self, deck: Deck | None, call: dict[str, Any], side: str, seconds: Decimal) -> int | None:
        when = call["started"].replace(tzinfo=timezone.utc)
        row: Rate | None = deck.find(call["callee"], when) if deck else None
        if deck is None or row is None or row.blocked:
            return None
        zone = ZoneInfo(deck.calendar.timezone if deck.calendar else "UTC")
        key = side, call[side], deck.name, f"{when.astimezone(zone):%Y-%m}"
        made = price(self._rates, deck, row, seconds, Decimal(self._seconds[key]) / 60)
        self._seconds[key] += made.bill.seconds
        return int(made.amount * UNIT)


@pytest.mark.parametrize("seed", range(4))
def test_months_in_bulk_are_what_each_call_alone_comes_to(connection: Any, load: Any, seed: int) -> None:
    rates = site(seed)
    query = load(calls(seed, 1500))
    needs = survey(connection, query)
    assert needs is not None
    rated = Rating(connection, rates, needs).run(query, lambda rated: f"from {rated}").to_pylist()
    assert len(rated) == 1500
    alone, different = Alone(rates), []
    # Of calls that began at once, the one that was read first counts first.
    for call in sorted(rated, key=lambda call: (call["started"], call["call_id"])):
        want = alone.customer(call), alone.vendor(call)
        if want != (call["customer_total"], call["vendor_total"]):
            different.append((call, want))
    assert different == []


def test_a_side_alone_is_the_same_as_both(connection: Any, load: Any) -> None:
    rates = site(9)
    query = load(calls(9, 400))
    needs = survey(connection, query)
    assert needs is not None
    rating = Rating(connection, rates, needs)
    both = rating.run(
        query, lambda rated: f"select sum(revenue) as r, sum(expense) as e from {rated}"
    ).to_pylist()
    one = rating.run(
        query, lambda rated: f"select sum(revenue) as r from {rated}", columns={"revenue"}, sides={"customer"}
    )
    other = rating.run(
        query, lambda rated: f"select sum(expense) as e from {rated}", columns={"expense"}, sides={"vendor"}
    )
    assert both == [{**one.to_pylist()[0], **other.to_pylist()[0]}]


def test_what_cannot_be_known_is_said(connection: Any, load: Any) -> None:
    needs = survey(connection, load(calls(1, 50)))
    assert needs is not None
    assert Rating(connection, messy.site(3), needs).notes == ()
    assert Rating(connection, site(1), needs).notes == (
        f"volume counts from the first call given, {needs.span.first:%Y-%m-%d}: acme (private), gold's, orbit",
        f"package minutes count from the first call given, {needs.span.first:%Y-%m-%d}: acme, bolt",
    )
