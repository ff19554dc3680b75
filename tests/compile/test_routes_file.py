from __future__ import annotations

import json

from site_samples import deck, node, rates, site, trunk, two_edges, vendor

from vosctl.compile.memo import Memo
from vosctl.compile.routes import files
from vosctl.site.decks import Rates


def content(sample, name):
    (file,) = files(sample, sample.nodes[name], Memo())
    return file.content.decode()


def test_own_and_trunk_vendors_in_order_of_cost_with_the_locked_and_why():
    found = json.loads(content(two_edges(), "edge-a"))
    assert found["currency"] == "USD"
    gold = found["groups"]["gold"]
    assert gold["44"] == {
        "rate": "0.0200",
        "vendors": [
            {"vendor": "far", "via": "ab", "cost": "0.0100", "profit": "0.0100"},
            {"vendor": "near", "via": None, "cost": "0.0180", "profit": "0.0020"},
        ],
        "locked": [],
    }
    assert gold["4420"]["locked"] == [
        {
            "vendor": "near", "via": None, "cost": "0.0180", "profit": "-0.0030",
            "why": "profit is -0.0030 a minute, the lowest allowed is 0.001",
        }
    ]  # fmt: skip
    assert sorted(gold) == ["44", "4420", "4477"]
    assert sorted(found["groups"]) == ["gold", "silver"]


def test_at_the_other_end_the_trunk_leads_the_other_way():
    gold = json.loads(content(two_edges(), "edge-b"))["groups"]["gold"]
    assert [(each["vendor"], each["via"]) for each in gold["44"]["vendors"]] == [
        ("far", None),
        ("near", "ab"),
    ]


def test_a_vendor_that_the_node_has_itself_is_not_reached_over_a_trunk_too():
    joined, shared = trunk(), vendor("far", "192.0.2.20/32")
    sample = site(
        node("edge-a", "10.231.0.2", (shared,), (joined,)), node("edge-b", "10.231.0.3", (shared,), (joined,))
    )
    offers = json.loads(content(sample, "edge-a"))["groups"]["gold"]["44"]["vendors"]
    assert [(each["vendor"], each["via"]) for each in offers] == [("far", None)]


def test_two_trunks_are_two_ways():
    one, two = trunk(), trunk("ab2")
    sample = site(
        node("edge-a", "10.231.0.2", (), (one, two)),
        node("edge-b", "10.231.0.3", (vendor("far", "192.0.2.20/32"),), (one, two)),
    )
    offers = json.loads(content(sample, "edge-a"))["groups"]["gold"]["44"]["vendors"]
    assert [each["via"] for each in offers] == ["ab", "ab2"]


def test_a_change_of_one_rate_is_a_change_of_one_line():
    def lines(price):
        decks = Rates("USD", {"gold": deck("gold", p44="0.02", p45="0.02", p46=price)}, rates().clearing)
        return content(site(node("edge-a", "10.231.0.2", rates=decks)), "edge-a").splitlines()

    changed = [(old, new) for old, new in zip(lines("0.02"), lines("0.03"), strict=True) if old != new]
    assert len(changed) == 1
    assert changed[0][1].lstrip().startswith('"46": ')


def test_money_is_written_as_it_was_and_never_with_an_exponent():
    decks = Rates("USD", {"gold": deck("gold", p1="0.0000001", p2="0.10")}, {})
    text = content(site(node("edge-a", "10.231.0.2", (vendor("x", rate_group=None),), rates=decks)), "edge-a")
    assert '"rate": "0.0000001"' in text
    assert '"rate": "0.10"' in text
    assert '{"cost": null, "profit": null, "vendor": "x", "via": null}' in text


def test_a_node_that_sells_nothing_gets_no_table():
    nothing = site(node("edge-a", "10.231.0.2", rates=Rates("USD", {}, {})))
    assert files(nothing, nothing.nodes["edge-a"], Memo()) == ()
    empty = Rates("USD", {"gold": deck("gold")}, {})
    table = json.loads(content(site(node("edge-a", "10.231.0.2", rates=empty)), "edge-a"))
    assert table["groups"] == {"gold": {}}
