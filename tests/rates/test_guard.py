from __future__ import annotations

from decimal import Decimal

import pytest
from site_samples import guard, rate

from vosctl.rates.guard import lock, margin, profit
from vosctl.site.decks import Rounding

GOLD = rate("44", "0.0200")


@pytest.mark.parametrize(
    ("vendor", "limits", "expected"),
    [
        ("0.0150", None, ""),
        ("0.0500", None, ""),
        ("0.0150", guard("0.005"), ""),
        ("0.0151", guard("0.005"), "profit is 0.0049 a minute, the lowest allowed is 0.005"),
        ("0.0210", guard("-0.001"), ""),
        ("0.0211", guard("-0.001"), "profit is -0.0011 a minute, the lowest allowed is -0.001"),
        # 0.005 a minute is 0.0000833… a second
        ("0.0150", guard("0.00008333", "second"), ""),
        (
            "0.0150",
            guard("0.00008334", "second"),
            "profit is 0.00008333 a second, the lowest allowed is 0.00008334",
        ),
        ("0.0150", guard("25", "percent"), ""),
        (
            "0.0150",
            guard("25.01", "percent"),
            "profit is 25.00 per cent, the lowest allowed is 25.01 per cent",
        ),
        ("0.0150", guard(most="0.015"), ""),
        ("0.0150", guard(most="0.0149"), "costs 0.0150 a minute, the limit is 0.0149"),
        ("0.0300", guard("0.001", most="0.01"), "costs 0.0300 a minute, the limit is 0.01"),
    ],
)
def test_lock(vendor, limits, expected):
    assert lock(GOLD, rate("44", vendor), limits) == expected


def test_a_dear_first_period_counts_as_the_minute_rate():
    row = rate("44", "0.01", first="0.50", first_seconds=60)
    assert lock(GOLD, row, guard(most="0.05")) == "costs 0.50 a minute, the limit is 0.05"
    assert lock(GOLD, rate("44", "0.01", first="0.50"), guard(most="0.05")) == ""


@pytest.mark.parametrize(
    ("limits", "expected"), [(None, ""), (guard("1"), ""), (guard(check_rate=True), "no clearing rate")]
)
def test_a_vendor_without_a_rate(limits, expected):
    assert lock(GOLD, None, limits) == expected


def test_a_free_customer_rate_has_no_percentage():
    free = rate("44", "0")
    assert margin(free, rate("44", "0.01"), Rounding()) is None
    assert lock(free, rate("44", "0.01"), guard("0", "percent")).startswith("the customer pays nothing")
    assert lock(free, rate("44", "0"), guard("0", "percent")) == ""


def test_profit_and_margin_of_the_textbook():
    """A customer at 0.015 and a vendor at 0.010: a third of the price stays."""
    customer, vendor = rate("1", "0.015"), rate("1", "0.010")
    assert profit(customer, vendor) == Decimal("0.005")
    assert margin(customer, vendor, Rounding(places=2)) == Decimal("33.33")
