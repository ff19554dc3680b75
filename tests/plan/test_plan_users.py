"""What a plan says of users, of what reads a file, and of job sets."""

from __future__ import annotations

import pytest
from msgspec.structs import asdict, replace
from plan_samples import file_state

from vosctl.compile.desired import File, Service, User
from vosctl.plan.change import Action, Kind
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse

OPS = User("ops", present=True, uid=1500, groups=("adm",), shell="/bin/bash", home="/home/ops", keys=False)


def plan(desired, raw, login="root"):
    return make_plan(desired, parse(raw, login=login), fingerprint_key=b"test")


def test_a_user_with_its_lines(desired, settled):
    wanted, raw = replace(desired, users=(OPS,)), settled()
    raw["users"] = {"ops": {"exists": False, "groups": []}}
    (made,) = plan(wanted, raw).changes
    assert (made.kind, made.action) == (Kind.USER, Action.CREATE)
    assert made.diff == ("+uid: 1500", "+groups: adm", "+shell: /bin/bash", "+home: /home/ops")
    state = {"exists": True, "uid": 1500, "groups": ["adm", "tty"], "shell": "/bin/sh", "home": "/home/ops"}
    raw["users"] = {"ops": state}
    (changed,) = plan(wanted, raw).changes
    assert changed.diff == ("-groups: adm,tty", "+groups: adm", "-shell: /bin/sh", "+shell: /bin/bash")
    assert not changed.drift
    raw["applied"]["users"] = {"ops": {**asdict(OPS), "groups": ["adm"]}}
    assert plan(wanted, raw).drift
    raw["users"]["ops"].update(groups=["adm"], shell="/bin/bash")
    assert not plan(wanted, raw)


def test_the_login_in_use_is_never_removed(desired, settled):
    wanted, raw = replace(desired, users=(replace(OPS, present=False),)), settled()
    raw["users"] = {
        "ops": {"exists": True, "uid": 1500, "groups": [], "shell": "/bin/sh", "home": "/home/ops"}
    }
    (gone,) = plan(wanted, raw).changes
    assert (gone.action, gone.detail) == (Action.REMOVE, "the home folder stays")
    (held,) = plan(wanted, raw, login="ops").impossible
    assert "logged in as this user" in held.reason


@pytest.mark.parametrize("managed", [True, False])
def test_a_restart_wins_over_a_reload_and_each_comes_once(desired, settled, managed):
    files = (
        File("/etc/a", b"new", reload="web"),
        File("/etc/b", b"new", restart="web"),
        File("/etc/c", b"", restart="web"),
    )
    wanted = replace(
        desired, files=(*desired.files, *files), services=(*desired.services, *(Service("web"),) * managed)
    )
    raw = settled()
    raw["files"].update(
        {"/etc/a": file_state(b"old"), "/etc/b": file_state(b"old"), "/etc/c": file_state(b"")}
    )
    raw["services"]["web"] = {"state": "running", "enabled": True, "known": True}
    found = [change for change in plan(wanted, raw).changes if change.kind is Kind.SERVICE]
    assert [(each.name, each.action) for each in found] == [("web", Action.RESTART)]
    raw["files"]["/etc/b"] = {**file_state(b"new")}
    raw["files"]["/etc/b"]["digest"] = files[1].digest
    found = [change for change in plan(wanted, raw).changes if change.kind is Kind.SERVICE]
    assert [(each.name, each.action) for each in found] == [("web", Action.RELOAD)]


def test_a_file_that_goes_is_told_to_who_read_it(desired, settled):
    raw = settled()
    raw["orphans"]["files"] = ["/etc/old"]
    raw["applied"]["reloads"] = {"/etc/old": "web"}
    actions = [(change.name, change.action) for change in plan(desired, raw).changes]
    assert actions == [("/etc/old", Action.REMOVE), ("web", Action.RELOAD)]
