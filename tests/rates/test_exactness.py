"""A million random calls under two thousand random rates: what vosctl charges is the fraction, rounded once.

The same in binary floating point is counted beside it, to show what that would get wrong.
"""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from vosctl.cli.rates.parameters import ROUNDINGS, rounding_named
from vosctl.rates.billing import charge
from vosctl.site.decks import Rate
from vosctl.site.tree import Mark

CALLS, TERMS, SEED = 1_000_000, 2_000, 20261123
MARK = Mark("random", 1, 1)


class Terms:
    """A random row with its deck's tax, discount and rounding: for vosctl, in fractions and in floats."""

    def __init__(self, draw: random.Random) -> None:
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
        self.discount = draw.choice((Decimal(0), Decimal(0), Decimal(0), Decimal("2.5")))
        self.kind, self.places = draw.choice(ROUNDINGS), places
        self.rounding = rounding_named(places, self.kind)
        self.fractions, self.floats = self._in(Fraction), self._in(float)

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


@pytest.mark.slow
def test_a_million_calls_are_charged_to_the_last_digit(capsys):
    draw = random.Random(SEED)
    terms = [Terms(draw) for _ in range(TERMS)]
    wrong, compared, floats = 0, 0, 0
    for _ in range(CALLS):
        each = terms[int(draw.random() * TERMS)]
        milliseconds = int(draw.random() ** 3 * 3_600_000)
        if draw.random() < 0.8:
            milliseconds -= milliseconds % 1000
        exact = each.due(milliseconds, each.fractions)
        units = nearest(each.kind, exact, 10**each.places)
        found = charge(
            each.rate, Decimal(milliseconds).scaleb(-3), each.rounding, tax=each.tax, discount=each.discount
        )
        wrong += found.scaleb(each.places) != units
        if each.kind == "half-up":
            compared += 1
            floats += round(in_floats(each, milliseconds) * 10**each.places) != units
    with capsys.disabled():
        share = Decimal(floats * 100) / compared
        print(f"\n{CALLS:,} calls against fractions: {wrong} differ; "
              f"in binary floats {floats:,} of {compared:,} rounded half up would ({share:.2f} %)")  # fmt: skip
    assert wrong == 0
    assert floats > 0, "the calls are too easy to tell exact money from floats"
