"""The relay as a user of its own: under systemd with all that its unit closes, and on a node without systemd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_client import Machine, wait_until
from relay_node import ACCOUNT, COLLECTOR, FILES, RECORDINGS, UNIT, Talk, pids, powers, wanted
from systemd_node import MARKS, Booted, boot

from vosctl.relay.kernel_path import CAPABILITIES

KEYS = "/etc/vosctl/relay-keys.json"
# Out of 10, less is better; docs/relay.md names it, and the command.
WORST_SCORE = 1.5
# Below what a container's root may give itself.
MORE_FILES = FILES + 1000
SECCOMP_FILTER = "2"  # proc(5)
systemd = [*MARKS, pytest.mark.requires("systemd-analyze")]


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    with boot() as found:
        found.run(f"ip link set lo up; mkdir -p {COLLECTOR}; chmod 755 {COLLECTOR}")
        yield found


@pytest.fixture
def unit(booted: Booted) -> Iterator[Booted]:
    """A node where systemd runs the relay; the next test has it as it was left."""
    yield booted
    booted.ask("rollback") if booted.ask("status")["pending"] else None


@pytest.fixture
def plain(nft: Machine) -> Iterator[Machine]:
    """A node without systemd."""
    nft.run(f"mkdir -p {COLLECTOR}; chmod 755 {COLLECTOR}; ip link set lo up")
    yield nft
    nft.run("/opt/vosctl/current/bin/vosctl-relay stop || true")
    nft.run(
        f"userdel {ACCOUNT}; groupdel {ACCOUNT}; rm -rf /var/lib/vosctl-relay {COLLECTOR}/vosctl.prom; true"
    )


def identity(node: Booted | Machine) -> tuple[str, str]:
    return node.run(f"id -u {ACCOUNT}").strip(), node.run(f"id -g {ACCOUNT}").strip()


def check_powers(node: Booted | Machine, *, seccomp: str) -> None:
    uid, gid = identity(node)
    assert 0 < int(uid) < 1000
    for pid in pids(node).values():
        assert powers(node.run(f"cat /proc/{pid}/status")) == {
            "users": {uid}, "groups": {gid}, "capabilities": {0}, "no new privileges": "1", "filter": seccomp,
        }  # fmt: skip


def check_files(node: Booted | Machine) -> None:
    """What is the relay's, and what it may read only."""
    owned = f"{ACCOUNT}:{ACCOUNT}"
    shown = node.run(
        "cd /; stat -c '%n %U:%G %a' etc/vosctl/relay-keys.json etc/vosctl/relay.json run/vosctl-relay "
        f"run/vosctl-relay/control.sock run/vosctl-relay/media.sock var/lib/vosctl-relay {RECORDINGS[1:]} "
        f"{COLLECTOR[1:]}/vosctl.prom"
    )
    assert shown.splitlines() == [
        f"etc/vosctl/relay-keys.json {ACCOUNT}:{ACCOUNT} 600",
        "etc/vosctl/relay.json root:root 644",
        f"run/vosctl-relay {owned} 755",
        f"run/vosctl-relay/control.sock {owned} 600",
        f"run/vosctl-relay/media.sock {owned} 600",
        f"var/lib/vosctl-relay {owned} 750",
        f"var/lib/vosctl-relay/recordings {owned} 700",
        f"var/lib/prometheus/node-exporter/vosctl.prom {owned} 644",
    ]
    assert node.run(f"find {RECORDINGS} -name '*.pcap' -user {ACCOUNT} -size +1k").strip()


def work(node: Booted | Machine, *, seccomp: str) -> None:
    """A start, a call, a reload, another release under a call, and back by a rollback."""
    assert node.inspect(wanted())["accounts"] == {ACCOUNT: False}
    account = Path("/etc/passwd").read_bytes()
    node.settle(wanted())
    assert Path("/etc/passwd").read_bytes() == account, "the machine's own"
    assert re.search(
        r"^[^:]*:[^:]*:\d+:\d+:[^:]*:/nonexistent:.*(nologin|false)$", node.run(f"getent passwd {ACCOUNT}")
    )
    assert node.settle(wanted())["changed"] == []
    check_powers(node, seccomp=seccomp)
    first = pids(node)
    with Talk(node, 100, record=True):
        assert [call["call-id"] for call in node.ask("calls")["calls"]] == ["c"]
    assert wait_until(lambda: node.path(f"{COLLECTOR}/vosctl.prom").exists())
    check_files(node)
    node.settle(wanted(dscp=34))
    assert pids(node) == first
    with Talk(node, 400):
        assert "service vosctl-relay upgrade" in node.settle(wanted(other=True, dscp=34))["changed"]
        now = pids(node)
    assert (now["supervisor"], now["media"]) == (first["supervisor"], first["media"])
    assert now["control"] != first["control"]
    check_powers(node, seccomp=seccomp)
    with Talk(node, 200):
        assert node.ask("rollback")["op"] == "rolled-back"
    check_powers(node, seccomp=seccomp)
    assert (pids(node)["supervisor"], pids(node)["media"]) == (first["supervisor"], first["media"])


class TestUnderSystemd:
    """One node, as each test leaves it to the next."""

    pytestmark = systemd

    def test_it_works_as_its_own_user_without_powers(self, unit: Booted) -> None:
        work(unit, seccomp=SECCOMP_FILTER)
        assert unit.run("systemctl show -p User -p Group -p MainPID vosctl-relay").split("\n") == [
            f"MainPID={pids(unit)['supervisor']}", f"User={ACCOUNT}", f"Group={ACCOUNT}",
        ]  # fmt: skip

    def test_open_files_and_the_ring_are_as_without_the_filter(self, unit: Booted) -> None:
        media = pids(unit)["media"]
        assert re.search(
            rf"^Max open files +{FILES} +{FILES} ", unit.run(f"cat /proc/{media}/limits"), re.MULTILINE
        )
        probe = "import ctypes; p = (ctypes.c_char * 120)(); print(ctypes.CDLL(None).syscall(425, 4, p) >= 0)"
        rings = unit.run(f"ls -l /proc/{media}/fd").count("io_uring")
        assert bool(rings) == (
            unit.run(f"setpriv --reuid=65534 --clear-groups /usr/bin/python3 -c '{probe}'") == "True"
        )

    def test_a_changed_unit_waits_for_the_next_start(self, unit: Booted) -> None:
        before = pids(unit)
        changed = unit.settle(wanted(files=MORE_FILES))["changed"]
        assert f"file {UNIT}" in changed
        assert not [line for line in changed if "restart" in line or "start" in line]
        assert pids(unit) == before
        assert unit.run("systemctl show -p NeedDaemonReload -p LimitNOFILE vosctl-relay").split("\n") == [
            f"LimitNOFILE={MORE_FILES}", "NeedDaemonReload=no",
        ]  # fmt: skip
        unit.run("systemctl restart vosctl-relay")
        assert wait_until(lambda: (unit.ask("status")["relay"] or {}).get("media", {}).get("up"))
        assert pids(unit)["supervisor"] != before["supervisor"]
        check_powers(unit, seccomp=SECCOMP_FILTER)
        with Talk(unit, 50):
            assert f" {MORE_FILES} " in unit.run(f"grep 'Max open files' /proc/{pids(unit)['media']}/limits")

    def test_the_score(self, unit: Booted) -> None:
        shown = unit.run("systemd-analyze security --no-pager vosctl-relay.service")
        score = re.search(r"Overall exposure level for .*: ([\d.]+)", shown)
        assert score, shown
        assert float(score[1]) <= WORST_SCORE, shown

    def test_the_kernels_path_is_all_that_its_capabilities_are_for(self, unit: Booted) -> None:
        unit.settle(wanted(kernel_path=True))
        unit.run("systemctl restart vosctl-relay")
        assert wait_until(lambda: (unit.ask("status")["relay"] or {}).get("media", {}).get("kernel_path"))
        running = pids(unit)
        held = {
            name: powers(unit.run(f"cat /proc/{pid}/status"))["capabilities"] for name, pid in running.items()
        }
        keep = sum(1 << number for number in CAPABILITIES)
        assert held == {"supervisor": {keep}, "control": {0, keep}, "media": {0, keep}}  # bounding sets stay
        for name in ("control", "media"):
            assert "CapPrm:\t0000000000000000" in unit.run(f"cat /proc/{running[name]}/status")
        page = unit.path(f"{COLLECTOR}/vosctl.prom")
        with Talk(unit, 500):
            assert wait_until(lambda: "vosctl_relay_in_kernel 2" in page.read_text())
        unit.settle(wanted())
        unit.run("systemctl restart vosctl-relay")
        assert wait_until(lambda: (unit.ask("status")["relay"] or {}).get("media", {}).get("up"))
        check_powers(unit, seccomp=SECCOMP_FILTER)

    def test_what_an_earlier_root_left_becomes_its_own(self, unit: Booted) -> None:
        unit.run("systemctl stop vosctl-relay; rm -rf /run/vosctl-relay; install -d -m 755 /run/vosctl-relay")
        unit.run(
            "touch /run/vosctl-relay/relay.log; chown -R root:root /run/vosctl-relay /var/lib/vosctl-relay"
        )
        unit.run("systemctl start vosctl-relay")
        assert wait_until(lambda: (unit.ask("status")["relay"] or {}).get("media", {}).get("up"))
        left = "find /run/vosctl-relay /var/lib/vosctl-relay ! -user"
        assert unit.run(f"{left} {ACCOUNT}") == ""


@pytest.mark.netns
class TestWithoutSystemd:
    """A machine where the agent starts the relay."""

    def test_it_works_as_its_own_user_without_powers(self, plain: Machine) -> None:
        work(plain, seccomp=plain.run("sed -n 's/^Seccomp:\\t//p' /proc/self/status").strip())
        owner = plain.run("stat -c %U /run/vosctl-relay/relay.log").strip()
        assert owner == ACCOUNT

    def test_a_unit_that_nobody_reads_restarts_nothing(self, plain: Machine) -> None:
        plain.settle(wanted())
        before = pids(plain)
        assert plain.settle(wanted(files=MORE_FILES))["changed"] == [f"file {UNIT}"]
        assert pids(plain) == before

    def test_the_log_is_rotated(self, plain: Machine) -> None:
        plain.settle(wanted())
        plain.run("head -c 17000000 /dev/zero | tr '\\0' x >>/run/vosctl-relay/relay.log")
        before = pids(plain)
        # The supervisor looks when something happens; a control that ends is something.
        plain.run(f"kill -9 {before['control']}")
        assert wait_until(lambda: plain.path("/run/vosctl-relay/relay.log.1").exists())
        assert wait_until(
            lambda: (plain.ask("status")["relay"] or {}).get("pid") not in (None, before["control"])
        )
        assert plain.run("stat -c %U /run/vosctl-relay/relay.log").strip() == ACCOUNT

    def test_one_that_still_runs_as_root_is_emptied_and_begins_anew_as_its_own_user(
        self, plain: Machine
    ) -> None:
        old = wanted()
        old.services[0]["supervise"] = old.services[0]["supervise"][:2]
        old.files[KEYS].update(mode=0o600, owner="root", group="root")
        plain.settle(old)
        before = pids(plain)
        assert powers(plain.run(f"cat /proc/{before['media']}/status"))["users"] == {"0"}
        new = wanted(other=True)
        new.services[0]["drain"] = 1
        with Talk(plain, 500):
            answer = plain.apply(new)
            assert answer["op"] == "error"
            assert "the relay has to be restarted, and 1 calls still run" in answer["error"]
            assert pids(plain) == before
        plain.settle(new)
        assert pids(plain)["media"] != before["media"]
        check_powers(plain, seccomp=plain.run("sed -n 's/^Seccomp:\\t//p' /proc/self/status").strip())
        assert plain.run(f"find /run/vosctl-relay ! -user {ACCOUNT}") == ""
        # Going back, its keys are for root alone again: it has to begin anew, by the command of then.
        assert plain.ask("rollback")["op"] == "rolled-back"
        assert plain.run(f"stat -c %U:%a {KEYS}").strip() == "root:600"
        assert powers(plain.run(f"cat /proc/{pids(plain)['media']}/status"))["users"] == {"0"}

    def test_nothing_to_make_an_account_with(self, plain: Machine) -> None:
        plain.run("cd /usr/sbin; mv useradd useradd.away")
        try:
            assert plain.ask("facts")["facts"]["can"]["accounts"][0] is False
            answer = plain.apply(wanted())
        finally:
            plain.run("cd /usr/sbin; mv useradd.away useradd")
        assert answer["op"] == "error"
        assert "neither useradd and groupadd nor BusyBox's adduser" in answer["error"]
        assert "passwd (Debian)" in answer["hint"]
        assert not plain.path("/etc/vosctl/relay-keys.json").exists()

    def test_an_account_that_fails_leaves_no_half(self, plain: Machine) -> None:
        plain.run("touch /etc/passwd.lock.vosctl; mv /usr/sbin/useradd /usr/sbin/useradd.away")
        plain.run(
            "printf '#!/bin/sh\\necho useradd: no room >&2; exit 1\\n' >/usr/sbin/useradd; chmod 755 /usr/sbin/useradd"
        )
        try:
            answer = plain.apply(wanted())
        finally:
            plain.run(
                "rm /usr/sbin/useradd /etc/passwd.lock.vosctl; mv /usr/sbin/useradd.away /usr/sbin/useradd"
            )
        assert (answer["op"], answer["item"]) == ("error", ACCOUNT)
        assert "useradd: no room" in answer["error"]
        assert ACCOUNT not in plain.path("/etc/group").read_text()
        # What was half-way there is made whole.
        plain.run(f"groupadd --system {ACCOUNT}")
        plain.settle(wanted())
        assert plain.inspect(wanted())["accounts"] == {ACCOUNT: True}

    def test_it_stays_when_the_apply_goes_back(self, plain: Machine) -> None:
        plain.apply(wanted(), window=0.5)
        assert wait_until(lambda: plain.ask("status")["pending"] is None)
        assert not plain.path("/etc/vosctl/relay-keys.json").exists()
        assert plain.inspect(wanted())["accounts"] == {ACCOUNT: True}

    def test_a_login_that_hides_its_files(self, plain: Machine) -> None:
        with plain.agent(prelude="import os; os.umask(0o077)\n") as agent:
            observed = agent.ask(plain.frame("inspect", wanted=wanted().frame()))["observed"]
            answer = agent.ask(plain.apply_frame(wanted(), observed))
            assert answer["op"] == "applied", answer
        plain.ask("confirm", id=answer["id"])
        assert plain.ask("status")["relay"]["media"]["up"]


def test_a_directory_has_no_accounts(folder) -> None:
    state = wanted(recordings="", unit=False)
    state.services.clear()
    assert folder.inspect(state)["accounts"] == {ACCOUNT: True}
    folder.settle(state)
    assert folder.settle(state)["changed"] == []
    keys = folder.path("/etc/vosctl/relay-keys.json")
    assert (keys.owner(), keys.stat().st_mode & 0o777) == (folder.root.owner(), 0o600)
