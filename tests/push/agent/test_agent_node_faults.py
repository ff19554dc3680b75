"""What goes wrong around an agent at work, each thing by its name: the node stays whole and comes to where it belongs."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_client import Agent, Frame, wait_until
from msgspec.structs import replace
from whole_node import AGENT, WholeNode
from whole_states import NEW, OLD, Compiled

from vosctl.compile.desired import File, Hook
from vosctl.fleet import Fleet, HostSpec
from vosctl.fleet.state import DISKS
from vosctl.push.agent import durable, snapshot
from vosctl.push.agent.node import Node

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(300)]
SEED = int(os.environ.get("VOSCTL_FAULT_SEED", time.time_ns() % 100_000))
YEAR = 365 * 86400


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, WholeNode]]:
    specs = [HostSpec(kind, f"10.231.0.{i}", iptables=kind) for i, kind in enumerate(("nft", "legacy"), 2)]
    with Fleet.up(specs, tmp_path_factory.mktemp("faults")) as fleet, ExitStack() as stack:
        found = {name: WholeNode(fleet, name) for name in ("nft", "legacy")}
        for node in found.values():
            node.prepare()
            stack.enter_context(node.knocking())
        yield found


def sound(node: WholeNode) -> Iterator[WholeNode]:
    """The node in its old state; after the test the next ordinary apply must work, and SSH with it."""
    if not node.sound or node.at is not OLD:
        node.prepare()
    node.sound = False
    yield node
    node.check_ssh(login=True)
    for _ in range(2 if node.at is OLD else 1):
        node.check_converges()
    node.sound = True


@pytest.fixture(params=["nft", "legacy"])
def node(nodes: dict[str, WholeNode], request: pytest.FixtureRequest) -> Iterator[WholeNode]:
    yield from sound(nodes[request.param])


@pytest.fixture
def legacy(nodes: dict[str, WholeNode]) -> Iterator[WholeNode]:
    yield from sound(nodes["legacy"])


@pytest.fixture
def nft(nodes: dict[str, WholeNode]) -> Iterator[WholeNode]:
    yield from sound(nodes["nft"])


def point_of(node: WholeNode, first: str) -> int:
    """The agent's own call before the first ``first`` of an apply of the new state that is armed already."""
    calls = calls_of(node)
    armed = len(calls) - calls[::-1].index("fallocate")
    then = calls.index(first, armed)
    return next(number for number in range(then, armed, -1) if not calls[number - 1].startswith("child"))


def calls_of(node: WholeNode) -> list[str]:
    """The calls of an apply of the new state that nobody confirms."""
    node.broken_apply(0, window=0.2)
    assert node.settled()
    return node.calls()


@contextmanager
def held(node: WholeNode, point: int, wanted: Compiled, **fields: Any) -> Iterator[Callable[[], Frame]]:
    """An apply that stands still before call ``point``; what comes lets it go on and returns its answer."""
    agent = node.broken_agent(point, "hold")
    with agent:
        observed = agent.ask(node.frame("inspect", wanted=wanted.frame()))["observed"]
        agent.send(node.apply_frame(wanted, observed, **fields))  # type: ignore[arg-type]
        assert wait_until(lambda: node.calls()[-1:] == ["held"]), node.calls()
        try:
            yield lambda: _answer(node, agent)
        finally:
            node.go_on()


def _answer(node: WholeNode, agent: Agent) -> Frame:
    node.go_on()
    while (answer := agent.receive())["op"] == "progress":
        pass
    return answer


@contextmanager
def full_disk(node: WholeNode) -> Iterator[None]:
    """No more room on any of the node's disks."""
    disks = node.fleet.directory / DISKS
    found = os.statvfs(disks)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used}", disks], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,size=50%", disks], check=True)


def test_a_disk_that_fills_up_at_any_point(
    node: WholeNode, record_property: Callable[[str, object], None]
) -> None:
    total = len(calls_of(node))
    chooser = random.Random(f"{SEED} disk {node.name}")
    chosen = sorted(chooser.sample(range(1, total), 10))
    for point in chosen:
        with held(node, point, NEW, window=0.2) as go_on, full_disk(node):
            answer = go_on()
            # It does not wait for room: what going back needs was set aside.
            if answer["op"] != "applied":
                assert answer["op"] == "error" or answer["rolled_back"], (SEED, point, answer)
                assert "room" in answer["hint"] or "full" in answer["error"], (SEED, point, answer)
                assert node.pending() is None, (SEED, point)
                node.check(OLD)
        assert node.settled(), (SEED, point)
        node.check(OLD)
    record_property("points", (f"disk full, {node.name}", len(chosen), SEED))


def test_a_disk_of_its_own_that_fills_up(nft: WholeNode) -> None:
    """What /etc/voice needs to go back is set aside there, and not where the snapshots are."""
    nft.run(
        "cp -a /etc/voice /root/kept; mount -t tmpfs -o size=2m small /etc/voice; cp -a /root/kept/. /etc/voice/"
    )
    try:
        big = File("/etc/voice/daemon.json", b'{"v": 1' + b" " * 700_000 + b"}", reload="daemon")
        old = Compiled(replace(OLD.desired, files=(big, *OLD.desired.files[1:])))
        nft.keep(old)
        with held(nft, point_of(nft, "child sendto"), NEW) as go_on:
            nft.run("head -c 4000000 /dev/zero >/etc/voice/filler; rm /etc/voice/gone", check=False)
            answer = go_on()
            assert answer["op"] == "applied", answer
            nft.run("head -c 4000000 /dev/zero >/etc/voice/filler", check=False)
            assert nft.ask("rollback")["op"] == "rolled-back"
        assert nft.path("/etc/voice/daemon.json").stat().st_size == len(big.content)
        assert not nft.path("/etc/voice/.vosctl-room").exists()
    finally:
        nft.run("rm -f /etc/voice/filler; umount /etc/voice; rm -rf /root/kept")
    nft.keep(OLD)
    nft.check(OLD)


def test_an_etc_that_becomes_read_only_in_mid_apply(node: WholeNode) -> None:
    loads = "child sendto" if node.name == "nft" else "child setsockopt"
    with held(node, point_of(node, loads), NEW, window=0.2) as go_on:
        node.run("mount -o remount,ro /etc")
        try:
            assert go_on()["op"] == "applied"
            # Nobody confirms, and what has to go back is on a disk that cannot be written.
            assert wait_until(
                lambda: (
                    "revert-failed" in node.disk.joinpath("var.upper/lib/vosctl/journal.jsonl").read_text()
                )
            )
            assert node.pending_state() == "reverting"
            # Meanwhile no run takes it for sound.
            said = node.ask("inspect", wanted=OLD.frame())
            assert (said["op"], said["step"]) == ("error", "revert")
            assert "going back failed: " in said["error"]
            assert "/etc/voice/daemon.json: Read-only file system" in said["error"]
        finally:
            node.run("mount -o remount,rw /etc")
    # The guard is still there, and tries again each second.
    assert wait_until(lambda: node.pending() is None)
    node.check(OLD)


def test_rules_that_the_kernel_refuses_only_when_they_are_loaded(node: WholeNode) -> None:
    """They enter a chain of somebody else's that is not there, beside sets that are new: no test before can tell."""
    four, six = NEW.desired.rulesets
    hooks = (*four.hooks, Hook("filter", "DOCKER-USER", "VOS-INPUT"))
    answer = node.apply(Compiled(replace(NEW.desired, rulesets=(replace(four, hooks=hooks), six))))  # type: ignore[arg-type]
    assert (answer["op"], answer["rolled_back"], answer["item"]) == ("failed", True, "v4"), answer
    assert "DOCKER-USER" in answer["error"]
    node.check(OLD)


def test_a_foreign_rule_that_uses_a_set_keeps_it(node: WholeNode) -> None:
    node.run(
        "iptables -A FORWARD -m set --match-set vos-c src -j DROP; iptables -A FORWARD -m set --match-set vos-a src -j DROP"
    )
    before = node.look()
    answer = node.apply(NEW)  # type: ignore[arg-type]
    assert (answer["op"], answer["rolled_back"]) == ("failed", True), answer
    assert "in use" in answer["error"]
    assert "iptables-save" in answer["hint"]
    assert node.look() == before
    node.run("iptables -D FORWARD 2; iptables -D FORWARD 1")


def test_an_xtables_lock_that_is_held_longer_than_anybody_waits(legacy: WholeNode) -> None:
    with held(legacy, point_of(legacy, "child setsockopt"), NEW, window=0.2) as go_on:
        lock = subprocess.Popen(
            legacy.argv(["flock", "/run/xtables.lock", "sh", "-c", "echo held; exec cat"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert lock.stdout.readline() == b"held\n"
        answer = go_on()
    assert (answer["op"], answer["rolled_back"], answer["step"]) == ("failed", False, "rulesets"), answer
    assert "xtables lock" in answer["error"]
    assert "going back failed as well: firewall" in answer["hint"]
    assert legacy.pending_state() == "reverting"
    lock.communicate(timeout=20)
    assert wait_until(lambda: legacy.pending() is None)
    legacy.check(OLD)


@pytest.mark.parametrize("config", [b'{"refuse": true}', b'{"die": 0.1}'], ids=["refuses", "dies"])
def test_a_service_that_does_not_start(node: WholeNode, config: bytes) -> None:
    files = tuple(
        dataclasses.replace(file, content=config) if file.path.endswith("second.json") else file
        for file in NEW.desired.files
    )
    answer = node.apply(Compiled(replace(NEW.desired, files=files)))  # type: ignore[arg-type]
    assert (answer["op"], answer["rolled_back"], answer["item"]) == ("failed", True, "second"), answer
    assert "run on the node: /opt/daemon/second-d" in answer["hint"]
    node.check(OLD)


def test_a_setting_that_came_with_the_rules_is_in_the_snapshot(tmp_path: Path) -> None:
    """In a namespace such settings are the host's, so no node here could show one."""
    node = Node(str(tmp_path))
    node.prepare()
    Path(snapshot.folder(node, "a")).mkdir()
    before = {"layout": snapshot.LAYOUT, "id": "a", "sysctls": {"x.y": "1"}}
    durable.write_json(f"{snapshot.folder(node, 'a')}/{snapshot.MANIFEST}", before)
    snapshot.add_setting(node, "a", "net.netfilter.nf_conntrack_max", "65536")
    assert snapshot.manifest(node, "a") == {
        **before,
        "sysctls": {"x.y": "1", "net.netfilter.nf_conntrack_max": "65536"},
    }


def test_a_second_operator_is_told_who_works_since_when_and_on_what(nft: WholeNode) -> None:
    point = point_of(nft, "child sendto")
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    with held(nft, point, NEW) as go_on:
        request = nft.apply_frame(OLD, nft.inspect(OLD))  # type: ignore[arg-type]
        with nft.agent() as agent:
            second = agent.ask({**request, "holder": "ben@noc-2"})
        assert (second["op"], second["kind"]) == ("error", "locked")
        assert second["error"].startswith(f"tester@here is at work since {began[:13]}"), second
        first = go_on()
        # And after that, while it waits, who and until when.
        waits = nft.apply(OLD)  # type: ignore[arg-type]
        assert (waits["op"], waits["kind"]) == ("error", "locked")
        assert waits["error"].startswith(
            f"tester@here's apply {first['id']} waits for its confirmation until"
        )
        assert f"apply {first['id']} abc123" in second["error"]
    assert nft.ask("rollback")["op"] == "rolled-back"
    nft.check(OLD)


# The clock.


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    library = tmp_path_factory.mktemp("clock") / "clock_jump.so"
    source = Path(__file__).with_name("clock_jump.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
    return library.read_bytes()


@pytest.fixture
def jumping(nft: WholeNode, clock: bytes) -> Iterator[Callable[[int], None]]:
    """Return what makes the node's wall clock jump by seconds, for all agents and guards from now on."""
    nft.path("/run/clock_jump.so").write_bytes(clock)
    argv = nft.argv
    nft.argv = lambda words: argv(["env", "LD_PRELOAD=/run/clock_jump.so", *words])  # type: ignore[method-assign]
    yield lambda seconds: nft.path("/run/clock-jump").write_text(str(seconds)) and None
    nft.argv = argv  # type: ignore[method-assign]


@pytest.mark.parametrize("seconds", [10 * YEAR, -10 * YEAR], ids=["forward", "backward"])
def test_a_clock_that_jumps_moves_no_deadline(
    nft: WholeNode, jumping: Callable[[int], None], seconds: int
) -> None:
    applied = nft.apply(NEW, window=4)  # type: ignore[arg-type]
    until = time.monotonic() + 4
    assert applied["op"] == "applied", applied
    jumping(seconds)
    year = time.localtime(time.time() + seconds).tm_year
    assert nft.run("date +%Y").strip() != str(year)
    while time.monotonic() < until - 2:
        status = nft.ask("status")
        assert status["pending"]["state"] == "applied", status
        time.sleep(0.1)
    assert wait_until(lambda: nft.pending() is None, 10)
    assert time.monotonic() > until - 0.2
    nft.check(OLD)
    # The agent did see another year, and works on.
    reverted = [entry for entry in nft.ask("status")["journal"] if entry["event"] == "reverted"]
    assert time.localtime(reverted[-1]["time"]).tm_year == year
    applied = nft.apply(NEW)  # type: ignore[arg-type]
    jumping(0)
    assert nft.ask("confirm", id=applied["id"])["op"] == "confirmed"
    nft.chain = [applied["id"], *nft.chain][:5]
    nft.check(NEW)


def test_a_clock_that_a_reboot_sets_back(
    nft: WholeNode, jumping: Callable[[int], None], clock: bytes
) -> None:
    nft.apply(NEW, window=600)  # type: ignore[arg-type]
    nft.cut_power()
    nft.path("/run/clock_jump.so").write_bytes(clock)
    jumping(-20 * YEAR)
    subprocess.run(nft.argv(["/usr/bin/python3", "-I", "-S", AGENT, "boot"]), check=True)
    assert nft.pending() is None
    nft.check_after_reboot(OLD, booted=True)
