from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from site_samples import MARK, deck, guard, rate

from vosctl.rates.guard import lock
from vosctl.rates.route import Vendor, longest, table
from vosctl.site.decks import Deck

PREFIXES = st.text(alphabet="0123", max_size=4)
ROWS = st.dictionaries(PREFIXES, st.sampled_from(["0.01", "0.015", "0.02", "0.03"]), max_size=8)


def vendor(name, rows=None, via=None, limits=None):
    return Vendor(name, via, deck(name, **rows) if rows is not None else None, limits)


def order(route, *, locked=False):
    return [offer.vendor.name for offer in route.offers if bool(offer.locked) is locked]


def test_vendors_come_in_order_of_cost():
    group = deck("gold", p44="0.05")
    vendors = [
        vendor("c", {"p44": "0.03"}),
        vendor("a", {"p4": "0.04"}),
        vendor("b", {"p": "0.01"}),
        vendor("z"),
    ]
    routes = list(table(group, vendors))
    assert [route.prefix for route in routes] == ["44"]
    assert order(routes[0]) == ["b", "c", "a", "z"]


def test_equal_rates_go_by_what_a_minute_costs_then_own_before_trunk_then_name():
    group = deck("gold", p44="0.05")
    fee = Vendor("a", None, Deck("a", {"44": rate("44", "0.01", connect="0.02")}, MARK), None)
    others = [
        vendor("d", {"p44": "0.01"}),
        vendor("b", {"p44": "0.01"}, via="ab"),
        vendor("c", {"p44": "0.010"}),
    ]
    assert order(next(table(group, [fee, *others]))) == ["c", "d", "b", "a"]


def test_a_vendors_longer_prefix_splits_the_customers():
    group = deck("gold", p44="0.02")
    routes = {
        r.prefix: r
        for r in table(
            group, [vendor("v", {"p44": "0.01", "p4477": "0.05", "p33": "0.01"}, limits=guard("0"))]
        )
    }
    assert sorted(routes) == ["44", "4477"]
    assert order(routes["44"]) == ["v"]
    assert order(routes["4477"], locked=True) == ["v"]


def test_what_is_not_sold_has_no_route():
    assert list(table(deck("gold"), [vendor("v", {"p44": "0.01"})])) == []


@given(
    ROWS,
    st.lists(st.tuples(ROWS, st.sampled_from([None, guard("0.001"), guard(check_rate=True)])), max_size=4),
)
def test_any_number_gets_from_the_table_what_the_decks_say(group_rows, sources):
    group = deck("gold", **{f"p{key}": value for key, value in group_rows.items()})
    vendors = [
        vendor(f"v{at}", {f"p{key}": value for key, value in rows.items()}, limits=limits)
        for at, (rows, limits) in enumerate(sources)
    ]
    routes = {route.prefix: route for route in table(group, vendors)}
    generator = random.Random(7)
    for _ in range(30):
        number = "".join(generator.choices("0123", k=6))
        route = longest(routes, number)
        sold = longest(group.rows, number)
        assert (route.rate if route else None) is sold
        for offer in route.offers if route else ():
            expected = longest(offer.vendor.deck.rows, number)
            assert offer.rate is expected
            assert offer.locked == lock(sold, expected, offer.vendor.guard)
        assert len(route.offers if route else vendors) == len(vendors)
