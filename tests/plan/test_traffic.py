"""What a plan says of traffic: the filter that the node runs against the one that it will."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from plan_samples import report
from rich.console import Console

from vosctl.compile.desired import Release
from vosctl.compile.site import compile_site
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse
from vosctl.plan.traffic import effects
from vosctl.report.plans import print_plan

sys.path.insert(0, str(Path(__file__).parent.parent / "compile"))
from site_samples import firewall, networks, node, site


def desired(**changes):
    own = node("edge-a", "10.231.0.2", firewall=firewall(**changes))
    made = compile_site(site(own), release=None)["edge-a"]
    return replace(made, release=Release("0.1.0", "ab" * 32, b"archive"))


def plan_of(before, after):
    """Return the plan from a node that runs ``before`` to ``after``; the agent sends what differs."""
    raw = report(before)
    for ipset in after.sets:
        old = next(each for each in before.sets if each.name == ipset.name)
        raw["sets"][ipset.name] = {"digest": old.digest}
        if old.digest != ipset.digest:
            raw["sets"][ipset.name]["members"] = list(old.members)
    return make_plan(after, parse(raw))


def test_a_member_more_is_traffic_more():
    plan = plan_of(desired(trusted=()), desired(trusted=networks("198.51.100.64/26")))
    lines = effects(plan.revisions)
    assert lines and all(": now accepted" in line for line in lines)
    assert any(line.startswith("IPv4 UDP from 198.51.100.64/26 to port 5060") for line in lines), lines


def test_a_changed_rule_is_told_too():
    plan = plan_of(desired(management={"ssh": (22,)}), desired(management={"ssh": (22,), "web": (443,)}))
    lines = effects(plan.revisions)
    assert any(
        "to port 443" in line and "now dropped by firewall.management.web" in line for line in lines
    ), lines
    assert any(line.startswith("IPv6 ") for line in lines)


def test_nothing_changed_says_nothing():
    assert plan_of(desired(), desired()).revisions == ()


@pytest.mark.parametrize("diff", [True, False])
def test_the_screen_tells_it_with_the_diff(diff):
    out = io.StringIO()
    plan = plan_of(desired(trusted=()), desired(trusted=networks("198.51.100.64/26")))
    print_plan(Console(file=out, width=300), plan, diff=diff, held=False)
    assert ("traffic: IPv4 UDP from 198.51.100.64/26" in out.getvalue()) is diff
