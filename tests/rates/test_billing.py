from __future__ import annotations

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_samples import rate

from vosctl.rates.billing import begun_cycles, charge, divide
from vosctl.site.decks import Rounding

MONEY = st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False)
KINDS = [
    decimal.ROUND_UP,
    decimal.ROUND_DOWN,
    decimal.ROUND_CEILING,
    decimal.ROUND_FLOOR,
    decimal.ROUND_HALF_UP,
    decimal.ROUND_HALF_DOWN,
    decimal.ROUND_HALF_EVEN,
]


# 0.006 a minute: the first 30 s cost 0.003, each begun 6 s after them 0.0006.
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0"), (1, "0.003"), (30, "0.003"), (31, "0.0036"), (32, "0.0036"), (36, "0.0036"), (37, "0.0042"),
     (57, "0.006"), (60, "0.006"), (75, "0.0078"), (3600, "0.36")],
)  # fmt: skip
def test_first_period_then_cycles(seconds, expected):
    row = rate("44", "0.006", cycle=6, first="0.006", first_seconds=30)
    assert charge(row, seconds) == Decimal(expected)


# 0.012 a minute by the whole minute, 0.01 to connect; no first period.
@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0"), (1, "0.022"), (60, "0.022"), (61, "0.034"), (120, "0.034")]
)
def test_connect_fee_and_whole_minutes(seconds, expected):
    assert charge(rate("44", "0.012", cycle=60, connect="0.01"), seconds) == Decimal(expected)


def test_fractions_of_a_second_begin_a_cycle():
    row = rate("44", "0.6", cycle=6, first_seconds=30)
    assert [begun_cycles(row, Decimal(text)) for text in ("30", "30.001", "36", "36.05", "29.9")] == [
        0,
        1,
        1,
        2,
        0,
    ]


def test_free_first_period_costs_nothing_but_the_connection():
    row = rate("1", "0.6", cycle=1, first="0", first_seconds=10, connect="0.05")
    assert [charge(row, seconds) for seconds in (1, 10, 11)] == [
        Decimal("0.05"),
        Decimal("0.05"),
        Decimal("0.06"),
    ]


def test_one_third_is_rounded_once():
    row = rate("44", "0.01", cycle=1)  # 0.01/60 a second
    assert charge(row, 1, Rounding(6)) == Decimal("0.000167")
    assert charge(row, 1, Rounding(6, decimal.ROUND_DOWN)) == Decimal("0.000166")
    # 0.00499999…/60: rounding first to six places and then to two would give 0.01.
    assert charge(rate("44", "0.2999999"), 1, Rounding(2)) == Decimal("0.00")


def test_negative_durations_are_refused():
    with pytest.raises(ValueError, match="-1 s"):
        charge(rate("44", "1"), -1)


@given(
    per_minute=MONEY, first=MONEY, connect=MONEY,
    cycle=st.integers(1, 90), first_seconds=st.integers(0, 90),
    seconds=st.one_of(st.integers(0, 10**6), st.decimals(0, 7200, places=3)),
    places=st.integers(0, 8), kind=st.sampled_from(KINDS),
)  # fmt: skip
def test_charge_is_the_fraction_rounded_once(
    per_minute, first, connect, cycle, first_seconds, seconds, places, kind
):
    row = rate("44", per_minute, cycle, first, first_seconds, connect)
    exact = Fraction(0)
    if seconds:
        steps = math.ceil(max(Fraction(0), Fraction(seconds) - first_seconds) / cycle)
        exact = (
            Fraction(connect)
            + Fraction(first) * first_seconds / 60
            + Fraction(per_minute) * cycle * steps / 60
        )
    assert charge(row, seconds, Rounding(places, kind)) == rounded(exact, places, kind)


def rounded(exact, places, kind):
    """Round a fraction without decimal arithmetic (all amounts here are 0 or more)."""
    scaled = exact * 10**places
    down, rest = scaled.numerator // scaled.denominator, scaled - scaled.numerator // scaled.denominator
    up = {
        decimal.ROUND_UP: rest > 0,
        decimal.ROUND_CEILING: rest > 0,
        decimal.ROUND_DOWN: False,
        decimal.ROUND_FLOOR: False,
        decimal.ROUND_HALF_UP: rest >= Fraction(1, 2),
        decimal.ROUND_HALF_DOWN: rest > Fraction(1, 2),
        decimal.ROUND_HALF_EVEN: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2 == 1),
    }[kind]
    return Decimal(down + up).scaleb(-places)


@given(st.decimals(-(10**9), 10**9, places=9), st.integers(1, 10**6), st.integers(0, 9))
def test_division_of_negative_amounts_is_exact_too(dividend, divisor, places):
    found = divide(dividend, Decimal(divisor), Rounding(places))
    assert abs(Fraction(found) - Fraction(dividend) / divisor) * 2 <= Fraction(1, 10**places)
