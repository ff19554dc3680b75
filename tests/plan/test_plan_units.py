"""What a plan says about unit files and accounts: what waits for a start, what a node cannot be given."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from plan_samples import file_state

from vosctl.compile.desired import File, Service
from vosctl.plan.change import Action, Change, Kind, Plan
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse


def plan_of(desired, raw) -> Plan:
    return make_plan(desired, parse(raw), fingerprint_key=b"test")


def only(plan: Plan) -> Change:
    (change,) = plan.changes
    return change


RELAY_UNIT = "/etc/systemd/system/vosctl-relay.service"


def test_the_relays_unit_waits_for_its_next_start(desired, settled):
    raw = settled()
    raw["files"][RELAY_UNIT] = file_state(b"")
    assert only(plan_of(desired, raw)).detail == "takes effect at the next start of the relay, which goes on"
    raw["services"]["vosctl-relay"]["state"] = "stopped"
    changes = plan_of(desired, raw).changes
    assert [(change.action, change.detail) for change in changes] == [(Action.CHANGE, ""), (Action.START, "")]


@pytest.mark.parametrize("systemd", [True, False])
def test_another_unit_restarts_its_service_where_systemd_reads_it(desired, settled, systemd):
    path = "/etc/systemd/system/voice.service"
    wanted = replace(
        desired, files=(*desired.files, File(path, b"[Service]\n")), services=(Service("voice"),)
    )
    raw = settled()
    raw["files"][path] = file_state(b"")
    raw["services"]["voice"] = {"state": "running", "enabled": True, "known": True}
    raw["facts"]["systemd"] = systemd
    services = [change for change in plan_of(wanted, raw).changes if change.kind is Kind.SERVICE]
    assert [(change.action, change.detail) for change in services] == [
        (Action.RESTART, "its unit file changes")
    ][:systemd]


def test_an_account_is_made_or_the_node_says_why_not(desired, settled):
    raw = settled()
    raw["accounts"] = {"vosrelay": False}
    change = only(plan_of(desired, raw))
    assert (change.kind, change.name, change.action) == (Kind.ACCOUNT, "vosrelay", Action.CREATE)
    raw["facts"]["can"]["accounts"] = [False, "making an account needs root: set become: true"]
    plan = plan_of(desired, raw)
    assert not plan.changes
    assert [(held.name, held.reason) for held in plan.impossible] == [
        ("vosrelay", "making an account needs root: set become: true")
    ]
