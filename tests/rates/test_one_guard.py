"""What the compiler locks, a quote, a margin and the check of losses say of the example site: one guard, one order."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.compile.routes import PATH, sellers, vendors
from vosctl.compile.site import compile_site
from vosctl.rates.losses import losses
from vosctl.rates.margins import Question, margins
from vosctl.rates.pricing import Caller
from vosctl.rates.quote import Call, quote
from vosctl.rates.routing.reader import UNIT, RouteFile
from vosctl.site.read import SiteOptions, read_site

PLAYBOOK = Path(__file__).parents[2] / "playbooks/site.yml"
NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
MINUTE = Decimal(60)


@pytest.fixture(scope="module")
def site():
    return read_site(SiteOptions(playbook=PLAYBOOK))[0]


@pytest.fixture(scope="module", params=["edge-a", "edge-b"])
def edge(site, request):
    node = site.nodes[request.param]
    files = {file.path: file.content for file in compile_site(site, release=None)[node.name].files}
    return node, vendors(site, node), RouteFile(files[PATH])


def numbers(group):
    """Return numbers under the group's prefixes: all short tables, a sample of long ones, and a bit more of each."""
    prefixes = sorted(group.rows)
    chosen = random.Random(5).sample(prefixes, min(len(prefixes), 150))
    return [prefix + more for prefix in chosen for more in ("", "0", "99123")]


def quoted(node, sold, group, number):
    found = quote(node.rates, node.routing, sold, Caller(group=group), Call(number, NOW, MINUTE))
    return [
        (side.vendor.name, side.vendor.via, bool(side.locked), side.price is not None) for side in found.sides
    ]


@pytest.mark.parametrize("group", ["wholesale", "retail"])
def test_a_quote_has_the_compiled_order_and_locks(edge, group):
    node, sold, file = edge
    for number in numbers(node.rates.groups[group]):
        compiled = [
            (each.vendor.name, each.vendor.via, bool(each.reason), each.rate is not None)
            for each in file.find(group, number, NOW).offers
        ]
        carrying = [each for each in compiled if not each[2] and each[3]]
        asked = quoted(node, sold, group, number)
        assert [each for each in asked if not each[2] and each[3]] == carrying, number
        assert sorted(asked, key=str) == sorted(compiled, key=str), number


@pytest.mark.parametrize("group", ["wholesale", "retail"])
def test_losses_are_the_compiled_offers_that_cost_more(edge, group):
    node, sold, file = edge
    seller = next(each for each in sellers(node) if each.deck.name == group)
    found = {(each.prefix, each.vendor.name): (each.amount, each.first) for each in losses(seller, sold, NOW)}
    expected = {}
    for each in margins(seller, sold, Question(NOW)):
        way = file.find(group, each.prefix, NOW)
        carrying = [offer for offer in way.offers if offer.rate is not None and not offer.reason]
        assert (carrying[0].vendor.name if carrying else None) == (each.vendor and each.vendor.name), (
            each.prefix
        )
        for offer in carrying:
            amount = Decimal(way.rate.rate - offer.rate.rate) / UNIT
            key = each.prefix, offer.vendor.name
            if amount < 0 and key not in expected:
                expected[key] = amount, offer.vendor.name == carrying[0].vendor.name
    assert found == expected
    assert bool(found) == (group == "retail")
