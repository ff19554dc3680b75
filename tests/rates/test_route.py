from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

from site_samples import MARK, deck, guard, rate

from vosctl.rates.route import Seller, Vendor, route
from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck
from vosctl.site.routing import OPEN, GatewayRouting, Quality, Routing

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
GOLD = deck("gold", p44="0.05")


def vendor(name, rows=None, via=None, limits=None, worth="1", **routing):
    own = deck(name, **rows) if rows is not None else None
    return Vendor(name, via, own, limits, GatewayRouting(**routing), Decimal(worth))


def way(vendors, routing=None, number="441"):
    return route(Seller(GOLD, routing=routing or Routing()), vendors, number, NOON)


def order(vendors, routing=None, number="441"):
    return [each.vendor.name for each in way(vendors, routing, number).offers]


def test_vendors_come_in_order_of_cost():
    vendors = [
        vendor("c", {"p44": "0.03"}),
        vendor("a", {"p4": "0.04"}),
        vendor("b", {"p": "0.01"}),
        vendor("z"),
    ]
    assert order(vendors) == ["b", "c", "a", "z"]


def test_cost_is_in_the_sites_currency():
    assert order([vendor("a", {"p44": "0.01"}, worth="3"), vendor("b", {"p44": "0.02"})]) == ["b", "a"]


def test_equal_rates_go_by_what_a_minute_costs_then_own_before_trunk_then_name():
    fee = Vendor("a", None, Deck("a", {"44": rate("44", "0.01", connect="0.02")}, MARK), None)
    cheap = {"p44": "0.01"}
    others = [vendor("d", cheap), vendor("b", cheap, via="ab"), vendor("c", {"p44": "0.010"})]
    assert order([fee, *others]) == ["c", "d", "b", "a"]
    assert [each.tied for each in way([fee, *others]).offers] == [False, True, True, False]


def test_priority_goes_before_cost():
    assert order([vendor("a", {"p44": "0.01"}, priority=1), vendor("b", {"p44": "0.04"})]) == ["b", "a"]


def test_quality_goes_before_cost_where_the_site_says_so_and_poor_vendors_come_last():
    vendors = [vendor("a", {"p44": "0.01"}), vendor("b", {"p44": "0.02"}), vendor("c", {"p44": "0.03"})]
    measured = {"a": {"4": Quality(Decimal(20), Decimal(100)), "441": Quality(Decimal(40), Decimal(100))},
                "b": {"": Quality(Decimal(50), Decimal(100))}}  # fmt: skip
    assert order(vendors, Routing(statistics=measured)) == ["a", "b", "c"]
    assert order(vendors, Routing("quality", statistics=measured)) == ["b", "a", "c"]
    limited = Routing("quality", lowest_asr=Decimal(45), statistics=measured)
    assert order(vendors, limited) == ["b", "c", "a"]
    assert order(vendors, limited, "442") == ["b", "c", "a"]
    assert order(vendors, Routing(lowest_acd=Decimal(101), statistics=measured)) == ["c", "a", "b"]


def test_the_most_specific_guard_says_each_value():
    vendors = [vendor("v", {"p44": "0.045", "p45": "0.045"}, limits=guard("0.01", most="0.04"))]

    def why(routing, number="441"):
        return way(vendors, routing, number).offers[0].locked

    assert why(Routing()) == "costs 0.045 a minute, the limit is 0.04"
    group = {"gold": guard(most="0.05")}
    assert why(Routing(groups=group)) == "profit is 0.005 a minute, the lowest allowed is 0.01"
    allowed = {"44": guard("0.006"), "441": guard("0.005")}
    assert why(Routing(groups=group, prefixes=allowed)) == ""
    assert why(Routing(groups=group, prefixes=allowed), "442").endswith("the lowest allowed is 0.006")


def test_hours_are_told_and_lock_nothing():
    morning = Calendar("hours", "UTC", {OPEN: (Window(frozenset(range(8)), 0, 600),)})
    (offer,) = way([vendor("v", {"p44": "0.01"}, hours=morning)]).offers
    assert (offer.open, offer.locked) == (False, "")


def test_what_is_not_sold_or_blocked_has_no_way():
    assert way([vendor("v", {"p": "0.01"})], number="33") is None
