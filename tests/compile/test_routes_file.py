from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest
from msgspec.structs import replace
from site_samples import deck, guard, node, rates, site, trunk, two_edges, vendor

from vosctl.compile.memo import Memo
from vosctl.compile.routes import files
from vosctl.errors import VosctlError
from vosctl.rates.routing.reader import REASONS, RouteFile
from vosctl.site.decks import Rates
from vosctl.site.routing import Routing

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def compiled(sample, name):
    (file,) = files(sample, sample.nodes[name], Memo())
    found = RouteFile(file.content)
    found.verify()
    return found


def offers(sample, name, number="44"):
    found = compiled(sample, name).find("gold", number, NOON).offers
    return [(each.vendor.name, each.vendor.via, REASONS[each.reason]) for each in found]


def test_own_and_trunk_vendors_in_order_of_cost_with_the_locked_and_why():
    assert compiled(two_edges(), "edge-a").currency == "USD"
    assert offers(two_edges(), "edge-a") == [("far", "ab", ""), ("near", None, "")]
    assert offers(two_edges(), "edge-a", "44201") == [("far", "ab", ""), ("near", None, "earns too little")]
    assert sorted(compiled(two_edges(), "edge-a").groups) == ["gold", "silver"]


def test_at_the_other_end_the_trunk_leads_the_other_way():
    assert offers(two_edges(), "edge-b") == [("far", None, ""), ("near", "ab", "")]


def test_a_vendor_that_the_node_has_itself_is_not_reached_over_a_trunk_too():
    joined, shared = trunk(), vendor("far", "192.0.2.20/32")
    sample = site(
        node("edge-a", "10.231.0.2", (shared,), (joined,)), node("edge-b", "10.231.0.3", (shared,), (joined,))
    )
    assert offers(sample, "edge-a") == [("far", None, "")]


def test_two_trunks_are_two_ways():
    one, two = trunk(), trunk("ab2")
    sample = site(
        node("edge-a", "10.231.0.2", (), (one, two)),
        node("edge-b", "10.231.0.3", (vendor("far", "192.0.2.20/32"),), (one, two)),
    )
    assert [via for _, via, _ in offers(sample, "edge-a")] == ["ab", "ab2"]


def test_a_vendor_without_a_deck_comes_last_and_has_no_rate():
    decks = Rates("USD", {"gold": deck("gold", p1="0.0000001")}, {})
    found = compiled(
        site(node("edge-a", "10.231.0.2", (vendor("x", rate_group=None),), rates=decks)), "edge-a"
    )
    (offer,) = found.find("gold", "12", NOON).offers
    assert (offer.rate, offer.reason) == (None, 0)
    assert found.find("gold", "12", NOON).rate.rate == 10


def test_a_node_that_sells_nothing_gets_no_table():
    nothing = site(node("edge-a", "10.231.0.2", rates=Rates("USD", {}, {})))
    assert files(nothing, nothing.nodes["edge-a"], Memo()) == ()
    empty = Rates("USD", {"gold": deck("gold")}, {})
    found = compiled(site(node("edge-a", "10.231.0.2", rates=empty)), "edge-a")
    assert found.find("gold", "44", NOON) is None


def test_vendors_are_compared_in_the_nodes_currency():
    decks = rates()
    dollars = replace(decks.clearing["cheap"], currency="CHF")
    known = replace(decks, clearing={**decks.clearing, "cheap": dollars}, exchange={"CHF": Decimal(3)})
    sample = site(node("edge-a", "10.231.0.2", (vendor("v"), vendor("w", rate_group="dear")), rates=known))
    assert [name for name, _, _ in offers(sample, "edge-a")] == ["w", "v"]
    unknown = replace(known, exchange={})
    with pytest.raises(VosctlError, match="deck 'cheap' is in CHF"):
        compiled(site(node("edge-a", "10.231.0.2", (vendor("v"),), rates=unknown)), "edge-a")


def test_routing_is_part_of_what_is_remembered():
    sample, memo = two_edges(), Memo()
    (first,) = files(sample, sample.nodes["edge-a"], memo)
    assert files(sample, sample.nodes["edge-a"], memo)[0].content is first.content
    guarded = replace(sample.nodes["edge-a"], routing=Routing(prefixes={"44": guard("1")}))
    assert files(sample, guarded, memo)[0].content != first.content
