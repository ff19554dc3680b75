"""Machines as nodes, over SSH, with their own kernel firewall: apply, drift, lock-out, rollback, sudo."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace
from push_samples import KEY, Recorder, connection, desired_of, options, site_of

from vosctl.compile.desired import Desired, File, Hook, IpSet, Ruleset, Service, Sysctl
from vosctl.errors import HostError, RolledBackError
from vosctl.plan.change import Action, Kind
from vosctl.plan.risk import Risk
from vosctl.push import api
from vosctl.push.result import Status, exit_code

pytestmark = pytest.mark.netns

INPUT = (Hook("filter", "INPUT", "VOS-INPUT"),)
CONTROLLER = "10.231.255.1"


def rules(*lines: str) -> Ruleset:
    return Ruleset(
        4,
        "".join(["*filter\n:VOS-INPUT - [0:0]\n", *(f"-A VOS-INPUT {line}\n" for line in lines), "COMMIT\n"]),
        INPUT,
    )


SSH = "-p tcp -m tcp --dport 22 -m set --match-set vos-admin src -j ACCEPT"
NO_SSH = "-p tcp -m tcp --dport 22 -j DROP"
SCANNERS = "-p udp -m udp --dport 5060 -m set ! --match-set vos-admin src -j DROP"


def admins(*members: str) -> IpSet:
    return IpSet("vos-admin", "hash:net", 4, tuple(sorted(members)), 65536)


FILE = File("/etc/vosctl/relay.json", b'{\n "node": "edge-a"\n}\n')
FULL = desired_of(
    FILE,
    File("/etc/vosctl/relay-keys.json", KEY.encode(), 0o600, secret=True),
    sets=(admins("10.231.0.0/16"),),
    rulesets=(rules(SSH, NO_SSH, SCANNERS),),
    sysctls=(
        Sysctl("net.ipv4.tcp_keepalive_time", "600"),
        Sysctl("net.core.rmem_max", "33554432", host_wide=True),
    ),
)


@pytest.fixture
def site(fleet):
    common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    return site_of(edge_a=connection("10.231.0.2", **common))


@pytest.fixture
def push(there, site):
    """Return a function that runs one of the API's functions on edge-a and returns its result."""

    def run(function, *desired: Desired, processors=(), **chosen):
        states = [{"edge-a": state} for state in desired]
        return there(function, site, *states, options=options(**chosen), processors=processors)["edge-a"]

    return run


def kernel_rules(fleet) -> str:
    saved = fleet.exec("edge-a", ["iptables-save", "-t", "filter"]).stdout
    return "".join(line for line in saved.splitlines(keepends=True) if not line.startswith("#"))


def test_a_whole_life(fleet, push):
    recorder = Recorder()
    first = push(api.apply_site, FULL, processors=[recorder])
    assert first.status is Status.CHANGED, first.error
    assert "sysctls" in recorder.steps("edge-a")
    assert [(held.name, held.fatal) for held in first.plan.held] == [("net.core.rmem_max", False)]
    assert "-A INPUT -j VOS-INPUT" in kernel_rules(fleet)
    assert "10.231.0.0/16" in fleet.exec("edge-a", ["ipset", "list", "vos-admin"]).stdout
    assert fleet.exec("edge-a", ["sysctl", "-n", "net.ipv4.tcp_keepalive_time"]).stdout == "600\n"
    assert fleet.exec("edge-a", ["cat", "/etc/vosctl/relay-keys.json"]).stdout == KEY

    recorder = Recorder()
    second = push(api.apply_site, FULL, processors=[recorder])
    assert (second.status, second.plan.changes) == (Status.OK, ())
    assert recorder.steps("edge-a") == ["connect", "inspect"]

    fleet.exec("edge-a", ["iptables", "-D", "VOS-INPUT", "3"])
    fleet.exec("edge-a", ["ipset", "add", "vos-admin", "203.0.113.9"])
    fleet.exec("edge-a", ["sysctl", "-w", "net.ipv4.tcp_keepalive_time=700"])
    fleet.exec("edge-a", ["sh", "-c", "echo hand > /etc/vosctl/relay.json"])
    drift = push(api.drift_site, FULL).plan
    assert [(change.kind, change.drift) for change in drift.changes] == [
        (Kind.FILE, True),
        (Kind.SET, True),
        (Kind.RULESET, True),
        (Kind.SYSCTL, True),
    ]
    assert "-203.0.113.9" in drift.changes[1].diff
    assert f"+-A VOS-INPUT {SCANNERS}" in drift.changes[2].diff
    assert push(api.apply_site, FULL).status is Status.CHANGED
    assert not push(api.drift_site, FULL).plan
    assert "203.0.113.9" not in fleet.exec("edge-a", ["ipset", "list", "vos-admin"]).stdout


def test_site_change_shows_only_itself(fleet, push):
    push(api.apply_site, FULL)
    changed = replace(FULL, sets=(admins("10.231.0.0/16", "192.0.2.7"),), rulesets=(rules(SSH, NO_SSH),))
    plan = push(api.plan_site, changed).plan
    assert [(change.kind, change.drift) for change in plan.changes] == [
        (Kind.SET, False),
        (Kind.RULESET, False),
    ]
    assert plan.changes[0].diff == ("+192.0.2.7",)
    assert [line for line in plan.changes[1].diff[2:] if line[0] in "+-"] == [f"--A VOS-INPUT {SCANNERS}"]
    gone = push(api.apply_site, desired_of())
    assert gone.status is Status.CHANGED, gone.error
    assert {(change.kind, change.action) for change in gone.plan.changes} == {
        (Kind.FILE, Action.REMOVE),
        (Kind.SET, Action.REMOVE),
        (Kind.RULESET, Action.REMOVE),
        (Kind.SYSCTL, Action.REMOVE),
    }
    assert "VOS" not in kernel_rules(fleet)
    assert not push(api.plan_site, desired_of()).plan


LOCKED_OUT = replace(FULL, sets=(admins("192.0.2.0/24"),))


def test_plan_that_cuts_the_controller_off_is_refused(fleet, push):
    push(api.apply_site, FULL)
    before = kernel_rules(fleet)
    for function in (api.plan_site, api.apply_site):
        result = push(function, LOCKED_OUT)
        assert result.status is Status.FAILED
        assert isinstance(result.error, HostError)
        assert f"{CONTROLLER} to port 22" in str(result.error)
        assert [change.risk for change in result.plan.changes] == [Risk.CUTS_CONTROLLER]
    assert kernel_rules(fleet) == before


def test_lock_out_that_is_allowed_goes_back_by_itself(fleet, push):
    push(api.apply_site, FULL)
    result = push(api.apply_site, LOCKED_OUT, allow_lockout=True, confirm_window=4, connect_timeout=1)
    assert result.status is Status.ROLLED_BACK, result.error
    assert isinstance(result.error, RolledBackError)
    assert exit_code({"edge-a": result}) == 6
    assert "not confirmed: no answer" in str(result.error)
    after = push(api.plan_site, FULL)
    assert (after.status, after.plan.changes) == (Status.OK, ())


def test_apply_that_finds_its_work_done_already_waits_for_nothing(fleet, push):
    """A setting leaves the site, and somebody has put the node's own value back by hand before."""
    key = "net.ipv4.tcp_keepalive_intvl"
    own = fleet.exec("edge-a", ["sysctl", "-n", key]).stdout.strip()
    push(api.apply_site, desired_of(sysctls=(Sysctl(key, "33"),)))
    fleet.exec("edge-a", ["sysctl", "-w", f"{key}={own}"])
    recorder = Recorder()
    result = push(api.apply_site, desired_of(), processors=[recorder])
    assert [(change.name, change.action) for change in result.plan.changes] == [(key, Action.REMOVE)]
    assert (result.status, result.report["confirmed"]) == (Status.CHANGED, True)
    assert recorder.calls.count(("step", "edge-a", "connect", 0, 0)) == 1
    assert push(api.apply_site, desired_of()).status is Status.OK


GONE = ["sh", "-c", "kill -9 $(pgrep -f 'sshd: [r]oot@notty')"]
SLOW = """#!/bin/sh
case $1 in
    start) sleep 2; touch /run/slow.up ;;
    status) test -e /run/slow.up ;;
    stop) rm -f /run/slow.up ;;
esac
"""


def test_connection_that_breaks_in_mid_apply_is_taken_up_again(fleet, push):
    """The agent goes on without its controller; a new connection finds it at work, then waiting, and confirms."""
    recorder = Recorder(on_step={"services": lambda: fleet.exec("edge-a", GONE)})
    files = (dataclasses.replace(FILE, content=b"new\n"), File("/etc/init.d/slow", SLOW.encode(), 0o755))
    changed = replace(FULL, files=files, services=(Service("slow", enabled=False),))
    result = push(api.apply_site, changed, processors=[recorder])
    assert result.status is Status.CHANGED, result.error
    assert "went away" in result.report["resumed"]
    assert result.report["confirmed"] is True
    assert not push(api.plan_site, changed).plan
    assert push(api.status_site).report["pending"] is None


# Whoever is connected already is cut off without a word, by rules of the host's own; new logins go on.
SILENT = """
for port in $(ss -Htn state established 'sport = :22' | awk '{sub(/.*:/, "", $4); print $4}'); do
    iptables -I INPUT -p tcp --dport 22 --sport "$port" -j DROP
done
"""


@pytest.mark.parametrize("what", [GONE, ["sh", "-c", SILENT]], ids=["killed", "silently"])
def test_agent_that_is_cut_off_after_its_apply_is_not_needed_to_confirm(fleet, push, what):
    """The new connection shows that nobody is locked out; where the old one is gone, the word goes over the new one."""
    recorder = Recorder(on_step={"prove": lambda: fleet.exec("edge-a", what)})
    try:
        result = push(
            api.apply_site,
            desired_of(dataclasses.replace(FILE, content=f"{what}\n".encode())),
            processors=[recorder],
        )
    finally:
        fleet.exec("edge-a", ["iptables", "-F", "INPUT"])
    assert (result.status, result.report["confirmed"]) == (Status.CHANGED, True), result.error
    assert recorder.calls.count(("step", "edge-a", "connect", 0, 0)) == 2
    assert push(api.status_site).report["pending"] is None


KILL = "import json, os; os.kill(json.load(open('/var/lib/vosctl/pending.json'))['pid'], 9)"


@pytest.mark.parametrize("step", ["files", "sets", "rulesets", "sysctls", "services"])
def test_agent_that_is_killed_in_a_step_is_taken_back_and_the_next_apply_converges(fleet, push, step):
    assert push(api.apply_site, FULL).status in {Status.CHANGED, Status.OK}
    before = kernel_rules(fleet)
    recorder = Recorder(on_step={step: lambda: fleet.exec("edge-a", ["python3", "-c", KILL])})
    files = (
        dataclasses.replace(FILE, content=f"{step}\n".encode()),
        File("/etc/init.d/slow", SLOW.encode(), 0o755),
    )
    changed = replace(
        FULL,
        files=files,
        sets=(admins("10.231.0.0/16", "192.0.2.7"),),
        rulesets=(rules(SSH, NO_SSH),),
        sysctls=(Sysctl("net.ipv4.tcp_keepalive_time", "601"),),
        services=(Service("slow", enabled=False),),
    )
    result = push(api.apply_site, changed, processors=[recorder])
    assert result.status is Status.ROLLED_BACK, result.error
    assert "the node went back to what it ran before" in str(result.error)
    assert kernel_rules(fleet) == before
    assert fleet.exec("edge-a", ["cat", FILE.path]).stdout.encode() == FILE.content
    assert not push(api.plan_site, FULL).plan
    assert push(api.apply_site, changed).status is Status.CHANGED
    assert not push(api.plan_site, changed).plan


def test_rules_that_the_kernel_refuses_change_nothing(fleet, push):
    push(api.apply_site, FULL)
    broken = replace(
        FULL,
        files=(dataclasses.replace(FILE, content=b"new\n"),),
        rulesets=(rules(SSH, "-p tcp -j TPROXY --on-port 1"),),
    )
    result = push(api.apply_site, broken)
    assert result.status is Status.FAILED
    assert "TPROXY" in str(result.error)
    assert fleet.exec("edge-a", ["cat", FILE.path]).stdout.encode() == FILE.content
    assert not push(api.plan_site, FULL).plan


def test_setting_that_the_kernel_lacks_is_told_in_the_plan(push):
    """A fleet's host is a container to the agent: what it cannot set is the host's."""
    result = push(api.plan_site, replace(FULL, sysctls=(Sysctl("net.ipv4.no_such_key", "1"),)))
    assert [held.name for held in result.plan.held] == ["net.ipv4.no_such_key"]


def test_controller_passes_the_guard_with_the_address_that_the_node_sees(push):
    alone = replace(FULL, sets=(admins(CONTROLLER),))
    assert push(api.plan_site, alone).plan.refusal == ""


def test_after_a_reboot_rules_are_loaded_again(fleet, push):
    push(api.apply_site, FULL)
    fleet.reboot("edge-a")
    result = push(api.plan_site, FULL)
    assert result.status is Status.CHANGED
    change = next(change for change in result.plan.changes if change.kind is Kind.RULESET)
    assert change.detail == "not loaded since the node booted"
    assert push(api.apply_site, FULL).status is Status.CHANGED
    assert "-A INPUT -j VOS-INPUT" in kernel_rules(fleet)


# sudo: a login without root.


@pytest.fixture
def deploy(fleet, there):
    """A user `deploy` on edge-b; return a function that plans there with sudo."""
    fleet.exec("edge-b", ["sh", "-c", "id deploy || useradd -m -s /bin/sh -p '*' deploy"])
    common = {"user": "deploy", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}

    def run(function=api.plan_site, *, become: bool = True, **chosen):
        site = site_of(edge_a=connection("10.231.0.3", become=become, **common))
        return there(function, site, {"edge-a": FULL}, options=options(**chosen))["edge-a"]

    return run


@pytest.mark.requires("sudo")
def test_sudo_without_rights_says_what_to_put_into_sudoers(fleet, deploy):
    fleet.exec("edge-b", ["rm", "-f", "/etc/sudoers.d/vosctl"])
    result = deploy()
    assert result.status is Status.FAILED
    assert "sudo refused" in str(result.error)
    assert "--become-password-file" in result.error.hint
    assert result.error.hint.endswith(
        "put this into /etc/sudoers.d/vosctl on the node: deploy ALL=(root) NOPASSWD: ALL"
    )


@pytest.mark.requires("sudo")
def test_sudo_with_the_rights_of_the_hint_works(fleet, deploy):
    refused = deploy()
    line = refused.error.hint.partition(" on the node: ")[2]
    fleet.exec("edge-b", ["tee", "/etc/sudoers.d/vosctl"], input=line + "\n")
    fleet.exec("edge-b", ["visudo", "-cf", "/etc/sudoers.d/vosctl"])
    result = deploy(api.apply_site)
    assert result.status is Status.CHANGED, result.error
    assert fleet.exec("edge-b", ["cat", "/etc/vosctl/relay-keys.json"]).stdout == KEY
    assert deploy().plan.refusal == ""


def test_without_become_an_ordinary_login_is_refused_clearly(deploy):
    result = deploy(become=False)
    assert result.status is Status.FAILED
    assert "become" in str(result.error)


def test_sudo_that_is_not_there(fleet, deploy, tmp_path):
    fleet.exec("edge-b", ["sh", "-c", "command -v sudo && mv $(command -v sudo) /usr/bin/sudo.away || true"])
    try:
        result = deploy()
    finally:
        fleet.exec("edge-b", ["sh", "-c", "mv /usr/bin/sudo.away /usr/bin/sudo || true"])
    assert "sudo is not installed" in str(result.error)
