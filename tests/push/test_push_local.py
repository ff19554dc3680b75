"""Directories as nodes, with the real agent: plan, apply, confirm, drift, rollback, status, facts, faults."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
from push_samples import KEY, Recorder, connection, desired_of, options, site_of

from vosctl.compile.desired import File, Sysctl
from vosctl.errors import HostError, LockedError, RolledBackError, UnreachableError
from vosctl.plan import json as plan_json
from vosctl.plan import markdown, text
from vosctl.plan.change import Action
from vosctl.push import api
from vosctl.push.local import LocalTransport
from vosctl.push.result import Status, exit_code

PLAIN = File("/etc/vosctl/relay.json", b'{\n "node": "edge-a"\n}\n')
SECRET = File("/etc/vosctl/relay-keys.json", KEY.encode(), 0o600, secret=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def site(root: Path):
    return site_of(edge_a=connection(root=root))


def wanted(*files: File, **fields):
    return {"edge-a": desired_of(*files, **fields)}


def only(results):
    assert list(results) == ["edge-a"]
    return results["edge-a"]


def test_plan_changes_nothing(site, root):
    result = only(api.plan_site(site, wanted(PLAIN), options=options()))
    assert result.status is Status.CHANGED
    assert [change.action for change in result.plan.changes] == [Action.CREATE]
    assert not (root / "etc").exists()
    checked = only(api.apply_site(site, wanted(PLAIN), options=options(check=True)))
    assert (checked.plan, checked.status) == (result.plan, result.status)
    assert not (root / "etc").exists()


def test_apply_twice_changes_nothing_the_second_time(site, root):
    recorder = Recorder()
    result = only(api.apply_site(site, wanted(PLAIN, SECRET), options=options(), processors=[recorder]))
    assert result.status is Status.CHANGED, result.error
    assert result.report["confirmed"] is True
    assert (root / "etc/vosctl/relay.json").read_bytes() == PLAIN.content
    assert (root / "etc/vosctl/relay-keys.json").stat().st_mode & 0o777 == 0o600
    assert recorder.steps("edge-a") == ["connect", "inspect", "apply", "files", "prove"]
    assert {"connect", "inspect", "plan", "apply", "confirm"} <= set(result.timings)

    recorder = Recorder()
    again = only(api.apply_site(site, wanted(PLAIN, SECRET), options=options(), processors=[recorder]))
    assert again.status is Status.OK
    assert not again.plan
    assert recorder.calls == [
        ("started", "edge-a"),
        ("step", "edge-a", "connect", 0, 0),
        ("step", "edge-a", "inspect", 0, 0),
        ("finished", "edge-a", Status.OK),
    ]


def test_change_by_hand_shows_as_drift_and_goes_back(site, root):
    api.apply_site(site, wanted(PLAIN), options=options())
    assert only(api.drift_site(site, wanted(PLAIN), options=options())).status is Status.OK
    (root / "etc/vosctl/relay.json").write_text("by hand\n")
    drift = only(api.drift_site(site, wanted(PLAIN), options=options()))
    assert drift.status is Status.CHANGED
    assert "-by hand" in drift.plan.changes[0].diff
    only(api.apply_site(site, wanted(PLAIN), options=options()))
    assert (root / "etc/vosctl/relay.json").read_bytes() == PLAIN.content


def test_site_change_is_no_drift_and_orphans_go(site, root):
    api.apply_site(site, wanted(PLAIN, SECRET), options=options())
    changed = wanted(dataclasses.replace(PLAIN, content=b"{}\n"))
    assert not only(api.drift_site(site, changed, options=options())).plan
    result = only(api.apply_site(site, changed, options=options()))
    assert [(c.name, c.action) for c in result.plan.changes] == [
        (PLAIN.path, Action.CHANGE),
        (SECRET.path, Action.REMOVE),
    ]
    assert not (root / SECRET.path[1:]).exists()


def test_kernel_parts_are_held(site):
    plan = only(
        api.plan_site(site, wanted(sysctls=(Sysctl("net.core.rmem_max", "1"),)), options=options())
    ).plan
    assert [(held.name, held.reason, held.fatal) for held in plan.held] == [
        ("net.core.rmem_max", "node is a directory", False)
    ]


def test_confirmation_by_hand(site, root):
    armed = only(api.apply_site(site, wanted(PLAIN), options=options(auto_confirm=False)))
    assert armed.status is Status.CHANGED
    assert armed.report["confirmed"] is False
    status = only(api.status_site(site, options=options())).report
    assert status["pending"]["id"] == armed.report["id"]
    assert status["pending"]["holder"] == "tester@here"

    other = only(api.apply_site(site, wanted(SECRET), options=options()))
    assert other.status is Status.FAILED
    assert isinstance(other.error, LockedError)
    assert "tester@here" in str(other.error)
    assert other.plan, "the plan is told even where the apply must wait"

    confirmed = only(api.confirm_site(site, options=options()))
    assert (confirmed.status, confirmed.report["id"]) == (Status.CHANGED, armed.report["id"])
    assert only(api.confirm_site(site, options=options())).status is Status.OK
    assert (root / PLAIN.path[1:]).exists()


def test_rollback_of_what_waits_and_of_what_was_confirmed(site, root):
    api.apply_site(site, wanted(PLAIN), options=options())
    api.apply_site(
        site, wanted(dataclasses.replace(PLAIN, content=b"new\n")), options=options(auto_confirm=False)
    )
    result = only(api.rollback_site(site, options=options()))
    assert (result.status, result.exit_code) == (Status.ROLLED_BACK, 0)
    assert (root / PLAIN.path[1:]).read_bytes() == PLAIN.content
    only(api.rollback_site(site, options=options()))
    assert not (root / PLAIN.path[1:]).exists()
    nothing = only(api.rollback_site(site, options=options()))
    assert nothing.status is Status.FAILED
    assert "no earlier state" in str(nothing.error)


def test_status_and_facts(site):
    api.apply_site(site, wanted(PLAIN, SECRET), options=options())
    status = only(api.status_site(site, options=options())).report
    assert status["applied"]["revision"] == "0123abc"
    assert status["applied"]["files"] == [SECRET.path, PLAIN.path]
    assert {"pending", "lock", "journal", "relay"} <= set(status)
    facts = only(api.facts_site(site, options=options())).report
    assert facts["kernel"] == os.uname().release


def test_no_secret_in_anything_that_comes_out(site, root):
    old = dataclasses.replace(SECRET, content=b"OlderKeyNobodyMaySee")
    api.apply_site(site, wanted(old), options=options())
    result = only(api.apply_site(site, wanted(PLAIN, SECRET), options=options()))
    status = only(api.status_site(site, options=options()))
    seen = [repr(result), repr(status), json.dumps(dict(status.report)), json.dumps(dict(result.report))]
    seen += [text.render(result.plan), markdown.render(result.plan), plan_json.render(result.plan)]
    journal = (root / "var/lib/vosctl/journal.jsonl").read_text()
    for output in [*seen, journal]:
        for word in (KEY, "OlderKeyNobodyMaySee", SECRET.digest, old.digest):
            assert word not in output
    assert "<secret " in seen[-1]


def test_apply_that_fails_on_the_node_is_told_with_its_reason(site, root):
    (root / "etc/vosctl/relay.json").mkdir(parents=True)
    result = only(api.apply_site(site, wanted(PLAIN), options=options()))
    assert result.status is Status.FAILED
    assert isinstance(result.error, HostError)
    assert "/etc/vosctl/relay.json is a directory" in str(result.error)
    assert result.plan


def agents_of(root: Path) -> list[int]:
    """Processes that hold the node's lock: the agent at work."""
    found = json.loads((root / "var/lib/vosctl/lock").read_text())
    return [found["pid"]]


def test_killed_agent_means_rolled_back(site, root):
    api.apply_site(site, wanted(PLAIN), options=options())
    new = wanted(
        *(File(f"/etc/vosctl/{n}.json", b"x" * 1000) for n in range(50)),
        dataclasses.replace(PLAIN, content=b"new\n"),
    )
    recorder = Recorder(on_step={"files": lambda: [os.kill(pid, signal.SIGKILL) for pid in agents_of(root)]})
    result = only(api.apply_site(site, new, options=options(confirm_window=3), processors=[recorder]))
    assert result.status is Status.ROLLED_BACK, result.error
    assert isinstance(result.error, RolledBackError)
    assert "went away" in str(result.error)
    assert exit_code({"edge-a": result}) == 6
    assert (root / PLAIN.path[1:]).read_bytes() == PLAIN.content
    assert not (root / "etc/vosctl/0.json").exists()


def test_confirmation_that_cannot_come_means_rolled_back(site, root, monkeypatch):
    """The node is not to be reached from the apply on until its deadline has passed."""
    api.apply_site(site, wanted(PLAIN), options=options())
    opened = LocalTransport.open
    count = []

    def refuse_the_second(self, command):
        count.append(command)
        if 1 < len(count) < 6:
            raise UnreachableError("edge-a", "no answer")
        return opened(self, command)

    monkeypatch.setattr(LocalTransport, "open", refuse_the_second)
    new = wanted(dataclasses.replace(PLAIN, content=b"new\n"))
    result = only(api.apply_site(site, new, options=options(confirm_window=2)))
    assert result.status is Status.ROLLED_BACK, result.error
    assert "not confirmed: no answer" in str(result.error)
    assert (root / PLAIN.path[1:]).read_bytes() == PLAIN.content
