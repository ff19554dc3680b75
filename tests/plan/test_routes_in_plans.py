"""A plan tells a change of route tables in words: who is locked, what is sold at a loss, how much traffic it carries."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from msgspec.structs import replace
from plan_samples import file_state, report
from site_samples import MARK, deck, guard, node, rate, site, vendor

from vosctl.compile.desired import Desired, Release
from vosctl.compile.memo import Memo
from vosctl.compile.routes import files
from vosctl.plan.change import Action
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse
from vosctl.plan.risk import Risk
from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck, Rates
from vosctl.site.routing import Routing, Traffic

WORK = Calendar("work", "Europe/Berlin", {"night": (Window(frozenset(range(8)), 1320, 360),)})
PATH = "/etc/vosctl/routes.bin"
LATER = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
TRAFFIC = (
    Traffic(None, "4420", Decimal(1000)),
    Traffic("gold", "44207", Decimal("234.5")),
    Traffic("other", "44", Decimal(9)),
)


def compiled(price, *, limits=None, traffic=(), dated=None, night=None):
    rows = {"44": rate("44", "0.0100"), "4420": rate("4420", price)}
    coming = (replace(rate("44", dated), valid_from=LATER),) if dated else ()
    coming += (replace(rate("44", night), section="night"),) if night else ()
    cheap = Deck("cheap", rows, MARK, (*rows.values(), *coming) if coming else (), calendar=WORK)
    decks = Rates("EUR", {"gold": deck("gold", p44="0.02", p33="0.02")}, {"cheap": cheap})
    made = node("edge-a", "10.231.0.2", (vendor("far", "192.0.2.20/32", guard=limits),), rates=decks,
                routing=Routing(traffic=traffic))  # fmt: skip
    return Desired(
        made.name, (), Release("0.1.0", "ab" * 32, b""), files(site(made), made, Memo()), (), (), (), ()
    )


def plan(old, new):
    (was,) = (file.content for file in old.files if file.path == PATH)
    facts = report(new)
    facts["files"][PATH] = file_state(was)
    made = make_plan(new, parse(facts))
    return next((change for change in made.changes if change.name == PATH), None)


def test_a_loss_is_a_risk_and_says_its_traffic():
    change = plan(compiled("0.0100"), compiled("0.0300", traffic=TRAFFIC))
    assert change.risk is Risk.NEGATIVE_MARGIN
    assert change.diff[1:] == (
        "routes of gold: 1 prefix changes; 1,234.5 minutes of traffic",
        "routes of gold: sold at a loss: 4420 (-0.01 a minute on far, -50.0 %); 1,234.5 minutes of traffic [negative-margin]",
    )
    assert "sold at a loss: 4420" in change.detail


def test_a_guard_locks_instead_and_leaves_no_route():
    old, new = (compiled(price, limits=guard("0")) for price in ("0.0100", "0.0300"))
    change = plan(old, new)
    assert change.risk is Risk.NO_ROUTE
    told = [line.removeprefix("routes of gold: ") for line in change.diff[1:]]
    assert told == [
        "1 prefix changes",
        "vendor far becomes locked for 4420 (profit is -0.0100 a minute, the lowest allowed is 0) [locks-vendor]",
        "no vendor is left for 4420 [no-route]",
    ]
    assert "vendor far is free again for 4420" in "\n".join(plan(new, old).diff)


def test_what_comes_later_is_told_with_its_day():
    change = plan(compiled("0.0100"), compiled("0.0100", dated="0.05"))
    assert change.risk is Risk.NEGATIVE_MARGIN
    assert (
        f"sold at a loss: 44 (-0.03 a minute on far, -150.0 %) from {LATER:%Y-%m-%d %H:%M} UTC"
        in change.diff[-1]
    )


def test_what_loses_in_one_section_alone_is_told_whatever_the_hour():
    change = plan(compiled("0.0100"), compiled("0.0100", night="0.05"))
    assert change.risk is Risk.NEGATIVE_MARGIN
    assert "sold at a loss: 44 (-0.03 a minute on far, -150.0 %) in section night" in change.diff[-1]
    assert (
        plan(compiled("0.0100", night="0.05"), compiled("0.0300", night="0.05"))
        .diff[-1]
        .startswith("routes of gold: sold at a loss: 4420 (-0.01 a minute")
    )


def test_a_new_file_and_one_that_is_none_are_told_by_size():
    new = compiled("0.0100")
    facts = report(new)
    facts["files"][PATH] = file_state(b"{}")
    change = next(each for each in make_plan(new, parse(facts)).changes if each.name == PATH)
    assert change.action is Action.CHANGE
    assert "what is there now cannot be read: this is no route file" in change.diff[0]
    file = next(file for file in new.files if file.path == PATH)
    assert file.words(None)[0][0].startswith(f"route tables, {len(file.content):,} bytes, 3 prefixes")
