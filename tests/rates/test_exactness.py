"""A million random calls under two thousand random rates, in bulk and alone: the price is the fraction, rounded once.

The same in binary floating point is counted beside it, to show what that would get wrong.
"""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from vosctl.cli.rates.parameters import ROUNDINGS, rounding_named
from vosctl.rates.billing import charge
from vosctl.rates.engine.rated import CALLS as CALLS_COLUMNS
from vosctl.rates.engine.rating import Rating, survey
from vosctl.site.decks import Deck, Rate, Rates
from vosctl.site.tree import Mark

duckdb = pytest.importorskip("duckdb", reason="calls in bulk need pip install 'vosctl[rates]'")
pa = pytest.importorskip("pyarrow", reason="calls in bulk need pip install 'vosctl[rates]'")

CALLS, ALONE, TERMS, SEED = 1_000_000, 300_000, 2_000, 20261123
MARK = Mark("random", 1, 1)


class Terms:
    """A random row with its deck's tax, discount and rounding: for vosctl, in fractions and in floats."""

    def __init__(self, draw: random.Random, discount: Decimal = Decimal(0)) -> None:
        def money(most: int, places: int) -> Decimal:
            return Decimal(draw.randrange(most)).scaleb(-places)

        places = draw.choice((2, 3, 4, 4, 5, 6, 6))
        self.rate = Rate(
            "", money(900, 4) if draw.random() < 0.7 else money(10**7, 8), draw.choice((1, 1, 1, 6, 6, 30, 60, 7)),
            money(900, 4), draw.choice((0, 0, 30, 60, 6)), money(60, 3) if draw.random() < 0.2 else Decimal(0), MARK,
            minimum=money(50, 3) if draw.random() < 0.1 else Decimal(0), grace=draw.choice((0, 0, 0, 3)),
            free_seconds=draw.choice((0, 0, 0, 0, 10)),
        )  # fmt: skip
        self.tax = draw.choice((Decimal(0), Decimal(0), Decimal(0), Decimal(19), Decimal("7.5")))
        self.discount = discount
        self.kind, self.places = draw.choice(ROUNDINGS), places
        self.rounding = rounding_named(places, self.kind)
        self.fractions, self.floats = self._in(Fraction), self._in(float)

    def deck(self, name: str) -> Deck:
        """Return a deck of this one row."""
        return Deck(name, {"": self.rate}, MARK, rounding=self.rounding, tax=self.tax)

    def _in(self, number):
        """Return connect fee, that and the first period, a step, the minimum, and what tax and discount multiply by."""
        rate = self.rate
        connect = number(rate.connect)
        factor = (1 + number(self.tax) / 100) * (1 - number(self.discount) / 100)
        opened = connect + number(rate.first_rate) * rate.first_seconds / 60
        return connect, opened, number(rate.rate) * rate.cycle / 60, number(rate.minimum), factor

    def due(self, milliseconds, amounts):
        """Return what a call costs before it is rounded, with numbers of either kind."""
        rate = self.rate
        due, opened, step, minimum, factor = amounts
        if milliseconds <= rate.grace * 1000:
            return due * 0
        left = milliseconds - (rate.free_seconds + rate.first_seconds) * 1000
        if milliseconds > rate.free_seconds * 1000:
            due = opened + -(-left // (rate.cycle * 1000)) * step if left > 0 else opened
        if minimum and due < minimum:
            due = minimum
        return due if factor == 1 else due * factor


def nearest(kind: str, exact: Fraction, scale: int) -> int:
    """Return an amount of 0 or more in units of 1 ÷ scale, rounded."""
    down, rest = divmod(exact.numerator * scale, exact.denominator)
    if kind in ("down", "floor") or not rest:
        return down
    if kind in ("up", "ceiling"):
        return down + 1
    twice = 2 * rest - exact.denominator
    if twice == 0:
        return down + {"half-up": 1, "half-down": 0, "half-even": down % 2}[kind]
    return down + (twice > 0)


def in_floats(terms: Terms, milliseconds: int) -> float:
    """Return what a program would charge that keeps money in binary fractions and rounds to the nearest."""
    return round(terms.due(milliseconds, terms.floats), terms.places)


@pytest.fixture(scope="module")
def drawn():
    """Return the terms, and for each call the number of its terms, its milliseconds, and its price as text of units."""
    draw = random.Random(SEED)
    terms = [Terms(draw) for _ in range(TERMS)]
    calls = []
    for _ in range(CALLS):
        number = int(draw.random() * TERMS)
        milliseconds = int(draw.random() ** 3 * 3_600_000)
        if draw.random() < 0.8:
            milliseconds -= milliseconds % 1000
        each = terms[number]
        units = nearest(each.kind, each.due(milliseconds, each.fractions), 10**each.places)
        calls.append((number, milliseconds, units))
    return terms, calls


@pytest.mark.slow
def test_a_million_calls_in_bulk_are_charged_to_the_last_digit(drawn, capsys):
    terms, calls = drawn
    connection = duckdb.connect()
    decks = {f"d{number}": each.deck(f"d{number}") for number, each in enumerate(terms)}
    table = pa.table({
        "call_id": pa.array(range(CALLS), pa.int32()).cast(pa.string()),
        "customer_deck": pa.array([f"d{number}" for number, *_ in calls]),
        "duration_ms": pa.array([milliseconds for _, milliseconds, _ in calls], pa.int64()),
    })  # fmt: skip
    connection.execute("set threads = 2")
    connection.register("arrow", table)
    connection.execute("create table drawn as select * from arrow")
    constant = {"started": "timestamp '2026-11-23 12:00:00'", "callee": "'4420'"}
    columns = (
        f"{constant.get(name, name if name in table.column_names else 'null')}::{kind} as {name}"
        for name, kind in CALLS_COLUMNS.items()
    )
    given = f"select {', '.join(columns)} from drawn"
    needs = survey(connection, given)
    rating = Rating(connection, Rates("EUR", decks, {}), needs)
    wanted = ("call_id", "customer_total")
    statement = "select customer_total from {} order by call_id::integer"
    found = rating.run(given, statement.format, columns=wanted, sides=("customer",))
    totals = found.column("customer_total").to_pylist()
    wrong = floats = compared = 0
    for (number, milliseconds, units), total in zip(calls, totals, strict=True):
        each = terms[number]
        wrong += total != units * 10 ** (8 - each.places)
        if each.kind == "half-up":
            compared += 1
            floats += round(in_floats(each, milliseconds) * 10**each.places) != units
    with capsys.disabled():
        share = Decimal(floats * 100) / compared
        print(f"\n{CALLS:,} calls against fractions: {wrong} differ; "
              f"in binary floats {floats:,} of {compared:,} rounded half up would ({share:.2f} %)")  # fmt: skip
    assert wrong == 0
    assert floats > 0, "the calls are too easy to tell exact money from floats"


def test_each_call_alone_is_charged_to_the_last_digit(drawn):
    terms, calls = drawn
    wrong = 0
    for number, milliseconds, units in calls[:ALONE]:
        each = terms[number]
        seconds = Decimal(milliseconds).scaleb(-3)
        wrong += charge(each.rate, seconds, each.rounding, tax=each.tax).scaleb(each.places) != units
    assert wrong == 0


def test_each_call_with_a_discount_is_charged_to_the_last_digit():
    draw = random.Random(SEED + 1)
    for _ in range(20_000):
        each = Terms(draw, discount=draw.choice((Decimal("2.5"), Decimal("33.3333"), Decimal(100))))
        milliseconds = draw.randrange(3_600_000)
        units = nearest(each.kind, each.due(milliseconds, each.fractions), 10**each.places)
        seconds = Decimal(milliseconds).scaleb(-3)
        found = charge(each.rate, seconds, each.rounding, tax=each.tax, discount=each.discount)
        assert found.scaleb(each.places) == units
