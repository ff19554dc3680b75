"""Which prefixes lose, found in one walk over two tables, against asking for each alone."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from decimal import Decimal

from msgspec.structs import replace
from site_samples import deck, guard, rate

from vosctl.rates.losses import losses, pairs
from vosctl.rates.route import Seller, Vendor
from vosctl.site.decks import Deck
from vosctl.site.routing import Routing
from vosctl.site.tree import Mark

MARK = Mark("a", 1, 1)
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def vendor(name, its_deck, its_guard=None, worth="1"):
    return Vendor(name, None, its_deck, its_guard, worth=Decimal(worth))


def found(seller, *vendors):
    return {
        (each.prefix, each.vendor.name): (str(each.amount), each.first)
        for each in losses(seller, vendors, NOW)
    }


def test_a_row_below_what_a_vendor_takes():
    sold, bought = deck("gold", p44="0.02", p447="0.05"), deck("cheap", p44="0.01", p447="0.06")
    assert found(Seller(sold), vendor("orbit", bought)) == {("447", "orbit"): ("-0.01", True)}


def test_a_longer_prefix_of_the_vendor_loses_under_a_shorter_of_ours():
    sold, bought = deck("gold", p44="0.02"), deck("cheap", p44="0.01", p447="0.03", p4470="0.02")
    assert found(Seller(sold), vendor("orbit", bought)) == {("447", "orbit"): ("-0.01", True)}


def test_a_longer_prefix_of_ours_loses_under_a_shorter_of_the_vendor_s():
    sold, bought = deck("gold", p44="0.02", p4420="0.005"), deck("cheap", p4="0.01")
    assert found(Seller(sold), vendor("orbit", bought)) == {("4420", "orbit"): ("-0.005", True)}


def test_what_a_guard_locks_is_no_loss():
    sold, bought = deck("gold", p44="0.02"), deck("cheap", p44="0.03")
    assert found(Seller(sold), vendor("orbit", bought, guard("0"))) == {}
    assert found(Seller(sold), vendor("orbit", bought, guard("-0.01"))) == {("44", "orbit"): ("-0.01", True)}
    allowed = Routing(groups={"gold": guard("-1")})
    assert found(Seller(sold, routing=allowed), vendor("orbit", bought, guard("0"))) == {
        ("44", "orbit"): ("-0.01", True)
    }


def test_a_vendor_that_comes_second_loses_when_the_first_fails():
    sold = deck("gold", p44="0.02")
    vendors = vendor("dear", deck("dear", p44="0.03")), vendor("orbit", deck("cheap", p44="0.01"))
    assert found(Seller(sold), *vendors) == {("44", "dear"): ("-0.01", False)}


def test_currencies_are_compared_in_the_site_s():
    sold, bought = deck("gold", p44="0.02"), deck("cheap", p44="0.021")
    assert found(Seller(sold), vendor("orbit", bought, worth="0.92")) == {}
    assert found(Seller(sold), vendor("orbit", bought, worth="1.1")) == {("44", "orbit"): ("-0.0031", True)}


def test_a_blocked_row_is_not_sold():
    sold = Deck(
        "gold", {"44": rate("44", "0.02"), "447": replace(rate("447", "0.01"), blocked=True)}, Mark("a", 1, 1)
    )
    assert found(Seller(sold), vendor("orbit", deck("cheap", p44="0.01", p447="0.05"))) == {}


def test_the_walk_finds_what_each_lookup_finds():
    draw = random.Random(3)

    def rows():
        prefixes = {"".join(draw.choices("123", k=draw.randrange(0, 6))) for _ in range(80)}
        return {prefix: rate(prefix, Decimal(draw.randrange(100)).scaleb(-3)) for prefix in prefixes}

    for _ in range(50):
        sold, costs = rows(), rows()
        decks = [Deck(name, table, MARK) for name, table in (("sold", sold), ("costs", costs))]
        expected = {prefix: tuple(each.find(prefix, NOW) for each in decks) for prefix in {*sold, *costs}}
        assert {prefix: (price, cost) for prefix, price, cost in pairs(sold, costs)} == {
            prefix: both for prefix, both in expected.items() if None not in both
        }
