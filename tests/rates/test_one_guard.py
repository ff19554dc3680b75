"""One function locks: where it says something else, compiler, quote, ways, checks, margins, reviews and plans all follow."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest
from site_samples import deck, guard, node, site, vendor

from vosctl.compile.memo import Memo
from vosctl.compile.routes import files, sellers, source, vendors
from vosctl.rates import guard as the_guard
from vosctl.rates.losses import losses
from vosctl.rates.pricing import Caller
from vosctl.rates.quote import Call, quote
from vosctl.rates.routing.reader import RouteFile
from vosctl.rates.routing.words import lines
from vosctl.rates.ways import from_file, from_site
from vosctl.site.decks import Rates

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def answers():
    """Return who says that vendor far, dearer than what the customer pays, is locked for 44."""
    decks = Rates("EUR", {"gold": deck("gold", p44="0.02")}, {"cheap": deck("cheap", p44="0.03")})
    made = node("edge-a", "10.231.0.2", (vendor("far", "192.0.2.20/32", guard=guard("0")),), rates=decks)
    whole, call = site(made), Call("4412", NOON, Decimal(60))
    (file,) = files(whole, made, Memo())
    (seller,), offered = sellers(made), vendors(whole, made)
    cheaper = Rates("EUR", {"gold": deck("gold", p44="0.05")}, decks.clearing)
    before = node("edge-a", "10.231.0.2", tuple(made.gateways.values()), rates=cheaper)
    (old,) = files(site(before), before, Memo())
    told = " ".join(lines(old.content, file.content, source(whole, made), NOON)[0])
    return {
        "compiler": bool(RouteFile(file.content).find("gold", "4412", NOON).offers[0].reason),
        "quote": not quote(decks, made.routing, offered, Caller(group="gold"), call).sides[0].open,
        "ways": not from_site(whole, "4412", NOON)[0].usable,
        "ways of the file": not from_file(file.content, "f", "4412", NOON)[0].usable,
        "check": not list(losses(seller, offered, NOON)),
        "plan and review": "becomes locked for 44" in told,
        "no loss told": "sold at a loss" not in told,
    }


@pytest.mark.parametrize("locks", [True, False])
def test_all_say_what_the_one_function_says(locks, monkeypatch):
    if not locks:
        monkeypatch.setattr(the_guard, "ceiling", lambda customer, guard: None)
    assert answers() == dict.fromkeys(answers(), locks)
