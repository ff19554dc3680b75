from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import messy
from hypothesis import given
from hypothesis import strategies as st

from vosctl.rates.billing import billed_seconds, charge, divide
from vosctl.rates.engine.factors import division
from vosctl.rates.engine.rated import RATED, UNIT
from vosctl.rates.engine.rating import Rating, survey
from vosctl.rates.engine.sections import turns
from vosctl.rates.pricing import Caller, in_site_currency, prices
from vosctl.site.decks import Account, Deck, Phone, Rate, Rates, Rounding

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


def test_a_hundred_thousand_charges_are_what_each_alone_would_be(connection: Any, load: Any) -> None:
    different = []
    for seed in range(10):
        rates = messy.site(seed)
        rated = rate(connection, rates, load(messy.calls(seed, rates, 5_000)))
        assert rated.column_names == list(RATED)
        different += differences(rates, rated)
    assert different == []


def test_python_finds_the_rows_that_c_finds(connection: Any, load: Any) -> None:
    rates = messy.site(77)
    calls = load(messy.calls(77, rates, 400))
    assert rate(connection, rates, calls, native=False).equals(rate(connection, rates, calls))


def test_the_cheapest_of_group_account_and_phone_is_charged(connection: Any, load: Any) -> None:
    def deck(name: str, **prices: str) -> Deck:
        rows = {}
        for prefix, price in prices.items():
            amount = Decimal(price)
            rows[prefix[1:]] = Rate(prefix[1:], amount, 1, amount, 0, Decimal(0), messy.MARK)
        return Deck(name, rows, messy.MARK)

    group = deck("wholesale", _44="0.02", _49="0.01", _33="0.03")
    acme = Account("acme", "wholesale", deck("acme (private)", _44="0.01", _49="0.02"), (), (), messy.MARK)
    phone = Phone("4930", "acme", deck("4930 (private)", _44="0.01", _49="0.005"), messy.MARK)
    rates = Rates("EUR", {"wholesale": group}, {}, accounts={"acme": acme}, phones={"4930": phone})
    numbers = ["441", "491", "331", "441", "491", "551"]
    calls = load({
        "call_id": [str(at) for at in range(6)], "started": [messy.BEGIN.replace(tzinfo=None)] * 6,
        "duration_ms": [60_000] * 6, "callee": numbers, "customer": ["acme"] * 5 + [None],
        "caller": [None, None, None, "4930", "4930", None], "customer_deck": ["wholesale"] * 6,
    })  # fmt: skip
    table = rate(connection, rates, calls).sort_by("call_id").to_pydict()
    assert table["customer_source"] == [
        "acme (private)", "wholesale", "wholesale", "acme (private)", "4930 (private)", "wholesale",
    ]  # fmt: skip
    assert table["revenue"] == [1_000_000, 1_000_000, 3_000_000, 1_000_000, 500_000, None]
    assert table["customer_state"] == ["", "", "", "", "", "no rate"]
    for at, (number, caller) in enumerate(zip(numbers[:5], [None] * 3 + ["4930"] * 2, strict=True)):
        best = prices(rates, Caller("wholesale", "acme", caller), number, messy.BEGIN, 60)[0]
        assert (best.deck.name, int(best.amount * UNIT)) == (
            table["customer_source"][at],
            table["revenue"][at],
        )


def test_rates_too_big_for_64_bits_are_exact_too(connection: Any, load: Any) -> None:
    most = Decimal("99999.99999999")
    row = Rate("1", most, 1, most, 0, most, messy.MARK, minimum=Decimal("0.00000001"))
    deck = Deck(
        "dear",
        {"1": row},
        messy.MARK,
        rounding=Rounding(8, "ROUND_HALF_EVEN"),
        tax=Decimal("7.7"),
        currency="USD",
    )
    rates = Rates("EUR", {"dear": deck}, {}, {"USD": Decimal("0.923456")})
    calls = load({
        "call_id": ["a", "b"], "started": [messy.BEGIN.replace(tzinfo=None)] * 2, "callee": ["12", "12"],
        "duration_ms": [86_400_000, 1], "customer_deck": ["dear"] * 2,
    })  # fmt: skip
    assert differences(rates, rate(connection, rates, calls)) == []


@given(
    amount=st.integers(0, 10**18),
    percent=st.decimals(0, 100, places=3),
    places=st.integers(0, 8),
    kind=st.sampled_from(messy.KINDS),
)
def test_a_division_rounds_as_charge_does(amount: int, percent: Decimal, places: int, kind: str) -> None:
    rounding = Rounding(places, kind)
    factor = (100 + Fraction(percent)) / 100 / 60
    exact = divide(Decimal(amount) * (100 + percent), Decimal(6000) * UNIT, rounding)
    assert division(factor, rounding).of(amount) == exact * UNIT


def test_sections_change_when_the_calendar_says() -> None:
    last = messy.BEGIN + timedelta(days=40)
    found = dict(turns(messy.CALENDAR, messy.BEGIN, last))
    moment, current = messy.BEGIN, ""
    while moment < last:
        current = found.get(moment, current)
        assert messy.CALENDAR.section(moment) == current, moment
        moment += timedelta(minutes=1)
