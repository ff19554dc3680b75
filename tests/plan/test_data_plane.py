"""A release in use whose data plane the node lacks: what the plan says of it."""

from __future__ import annotations

from msgspec.structs import replace

from vosctl.plan.change import Action, Kind
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse


def test_a_data_plane_that_the_node_lacks_is_told_until_it_can_be_compiled(desired, settled):
    raw = settled()
    raw["release"]["missing"] = "no data plane for aarch64: no C compiler"
    raw["facts"]["can"]["compile"] = [False, "no C compiler"]
    plan = make_plan(desired, parse(raw))
    assert plan.changes == ()
    assert [(held.kind, held.reason, held.fatal) for held in plan.held if held.kind is Kind.RELEASE] == [
        (Kind.RELEASE, "it takes no calls: no data plane for aarch64: no C compiler", False)
    ]
    raw["facts"]["can"]["compile"] = [True, ""]
    told = [(change.kind, change.action) for change in make_plan(desired, parse(raw)).changes]
    assert told == [(Kind.RELEASE, Action.CHANGE), (Kind.SERVICE, Action.UPGRADE)]
    # Also by a compiler that this very apply installs.
    raw["facts"]["can"]["compile"] = [False, "no C compiler"]
    raw["packages"]["gcc"] = False
    plan = make_plan(replace(desired, packages=(*desired.packages, "gcc")), parse(raw))
    assert (Kind.RELEASE, Action.CHANGE) in [(change.kind, change.action) for change in plan.changes]
