"""Whatever breaks at whatever point: a directory that stands for a node is as it was, and the next run converges."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agent_client import Machine, Target, Wanted, tree, wait_until
from daemon_source import DAEMON
from test_agent_release import pack

# Wraps every call that changes something outside of the process: writes its name to a file, and at the
# chosen one kills the process or fails with an error of the system's. Only while an apply is under way.
PRELUDE = """
import os, fcntl, signal
_point, _act, _path = {point}, {act!r}, {path!r}
_state = dict(pid=os.getpid(), count=0, on=False, log=None)
def _wrap(module, name):
    real = getattr(module, name)
    def call(*a, **k):
        spoken = name == "write" and a[0] == 1
        if _state["on"] and os.getpid() == _state["pid"] and not spoken:
            _state["on"] = False
            if _state["log"] is None:
                _state["log"] = _open(_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            _write(_state["log"], (name + chr(10)).encode())
            _state["count"] += 1
            if _state["count"] == _point or (_act == "always" and _state["count"] > _point > 0):
                if _act == "kill":
                    os.kill(os.getpid(), 9)
                _state["on"] = _act != "once"
                raise OSError(28, "No space left on device")
            _state["on"] = True
        return real(*a, **k)
    setattr(module, name, call)
_open, _write, _flock = os.open, os.write, fcntl.flock
def _arm(*a):
    _state["on"] = True
    return _flock(*a)
for _name in ("write", "pwrite", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "symlink", "fchmod",
              "posix_fallocate", "ftruncate", "fork", "posix_spawn"):
    _wrap(os, _name)
fcntl.flock = _arm
"""
MAX_POINTS = 400
# How many points each of these tests tries; more of them find more.
POINTS = int(os.environ.get("VOSCTL_FAULT_POINTS", "5"))


def points(count: int, total: int, seed: int) -> list[int]:
    """Points to break at, spread over all calls, different with another seed."""
    chooser = random.Random(seed)
    step = max(1.0, total / count)
    return sorted(
        {
            min(total, int(i * step) + 1 + chooser.randrange(max(1, int(step))))
            for i in range(min(count, total))
        }
    )


class Breaker:
    """A node in an old state, a new state to bring it to, and a way to see which of the two it is in."""

    def __init__(self, node: Target, log: str, old: Wanted, new: Wanted, look: Callable[[], Any]) -> None:
        self.node = node
        self.log = log
        self.old, self.new = old, new
        self.look = look
        node.settle(old)
        self.before = look()
        node.settle(new)
        self.after = look()
        node.ask("rollback")
        assert look() == self.before

    def broken_apply(self, point: int, act: str, *, window: float = 0.4) -> dict[str, Any] | None:
        """Apply the new state with the break at a point; the answer, None when the agent died."""
        prelude = PRELUDE.format(point=point, act=act, path=self.log)
        try:
            return self.node.apply(self.new, window=window, agent=self.node.agent(prelude=prelude))
        except (EOFError, BrokenPipeError):
            return None

    def total(self) -> int:
        """How many calls an undisturbed apply makes."""
        log = Path(self.log)
        applied = self.broken_apply(0, "none")
        assert applied["op"] == "applied", applied
        text = log.read_text()
        assert wait_until(lambda: self.node.ask("status")["pending"] is None)
        assert self.look() == self.before
        return len(text.splitlines())

    def kill_guard(self) -> None:
        found = self.node.path("/run/vosctl/guard.json")
        if found.exists():
            pid = found.read_text().partition('"pid": ')[2].partition(",")[0]
            subprocess.run(["kill", "-9", pid], check=False, capture_output=True)

    def survives(self, point: int, *, guard: bool) -> None:
        """Kill the agent at a point, its guard too or not, and check that the node is whole and goes on."""
        self.broken_apply(point, "kill")
        if not guard:
            self.kill_guard()
            recovered = self.node.inspect(self.old)
            # Only one that was done before it was killed may still wait for its confirmation.
            waiting = recovered["pending"]
            assert waiting is None or (waiting["state"] == "applied" and recovered["recovered"] == ""), (
                point,
                waiting,
            )
        assert wait_until(lambda: self.node.ask("status")["pending"] is None), point
        assert self.look() == self.before, point
        assert self.node.ask("status")["lock"] is None
        self.node.settle(self.new)
        assert self.look() == self.after, point
        self.node.ask("rollback")
        assert self.look() == self.before, point


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    chosen = time.time_ns() % 100000
    print(f"seed {chosen}")
    record_property("seed", chosen)
    return chosen


@pytest.fixture
def breaker(folder: Target, tmp_path: Any) -> Iterator[Breaker]:
    for path in ("/run", "/opt/daemon", "/etc/voice"):
        folder.path(path).mkdir(parents=True)
    program = folder.path("/opt/daemon/voiced")
    program.write_bytes(DAEMON)
    program.chmod(0o755)
    old = (
        Wanted()
        .file("/etc/voice/daemon.json", b'{"v": 1}')
        .file("/etc/voice/same", b"s")
        .file("/srv/gone", b"g")
    )
    old.releases(pack(("VERSION", b"1", 0o644)), "1")
    new = (
        Wanted()
        .file("/etc/voice/daemon.json", b'{"v": 2}', mode=0o600)
        .file("/etc/voice/same", b"s")
        .file("/new/er/file", b"n")
    )
    new.releases(pack(("VERSION", b"2", 0o644), ("bin/x", b"x", 0o755)), "2")
    new.service("voice", supervise=["/opt/daemon/voiced", "supervise"], pidfile="/run/daemon.pid")
    old.service(
        "voice", state="stopped", supervise=["/opt/daemon/voiced", "supervise"], pidfile="/run/daemon.pid"
    )

    def pids() -> list[int]:
        command = ["pgrep", "-f", f"voiced supervise --root {folder.root}$"]
        return [
            int(pid)
            for pid in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        ]

    def look() -> Any:
        # A release that is not linked is no part of the state: it is there for the next time.
        files = {
            path: what
            for path, what in tree(folder.root).items()
            if not path.startswith("/opt/vosctl/releases")
        }
        return files, len(pids())

    yield Breaker(folder, str(tmp_path / "calls"), old, new, look)
    for pid in pids():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "alone"])
def test_killed_anywhere_a_directory_is_whole(breaker: Breaker, seed: int, guard: bool) -> None:
    total = breaker.total()
    assert 60 < total < MAX_POINTS
    for point in points(POINTS, total, seed):
        breaker.survives(point, guard=guard)


@pytest.mark.slow
def test_killed_while_going_back_a_directory_is_whole(breaker: Breaker, seed: int) -> None:
    total = breaker.total()
    # Killed at its very end the apply has everything in place, and nobody is left who would take it back.
    chooser = random.Random(seed)
    for point in sorted(chooser.sample(range(1, 40), POINTS)):
        breaker.broken_apply(total, "kill", window=0.1)
        breaker.kill_guard()
        time.sleep(0.1)
        with (
            suppress(EOFError, BrokenPipeError),
            breaker.node.agent(prelude=PRELUDE.format(point=point, act="kill", path=breaker.log)) as agent,
        ):
            agent.ask(breaker.node.frame("status"))
        breaker.kill_guard()
        assert breaker.node.ask("status")["pending"] is None
        assert breaker.look() == breaker.before, point


@pytest.mark.slow
def test_an_error_of_the_system_anywhere_takes_a_directory_back(breaker: Breaker, seed: int) -> None:
    total = breaker.total()
    for point in points(POINTS, total, seed):
        answer = breaker.broken_apply(point, "once")
        assert answer is not None
        assert (
            answer["op"] == "error"
            or (answer["op"] == "failed" and answer["rolled_back"])
            or answer["op"] == "applied"
        ), answer
        if answer["op"] == "applied":
            breaker.node.ask("rollback", id=answer["id"])
        assert breaker.look() == breaker.before, point
        assert breaker.node.ask("status")["pending"] is None


@pytest.mark.slow
def test_a_disk_that_stays_full_is_taken_back_as_soon_as_there_is_room(breaker: Breaker, seed: int) -> None:
    total = breaker.total()
    for point in points(POINTS, total, seed):
        answer = breaker.broken_apply(point, "always")
        assert answer is not None
        assert answer["op"] in ("error", "failed"), answer
        assert wait_until(lambda: breaker.node.ask("status")["pending"] is None)
        assert breaker.look() == breaker.before, point


RULES = "*filter\n:VOS-INPUT - [0:0]\n-A VOS-INPUT -p udp -m set --match-set vos-{} src -j ACCEPT\n-A VOS-INPUT -p udp -j DROP\nCOMMIT\n"
HOOK = ("filter", "INPUT", "VOS-INPUT")


@pytest.mark.netns
def test_a_disk_that_is_too_small_is_found_before_anything_changes(nft: Machine) -> None:
    nft.settle(Wanted().file("/etc/voice/a", b"old"))
    nft.run("mkdir -p /etc/voice/small; mount -t tmpfs -o size=128k small /etc/voice/small")
    try:
        big = Wanted().file("/etc/voice/a", b"new").file("/etc/voice/small/b", b"x" * 300_000)
        answer = nft.apply(big)
        assert answer["op"] == "error"
        assert "disk full: /etc/voice/small has 128 KiB free, the apply needs" in answer["error"]
        assert "make room" in answer["hint"]
        assert nft.path("/etc/voice/a").read_bytes() == b"old"
    finally:
        nft.run("umount /etc/voice/small")
    nft.settle(big)


@pytest.mark.netns
def test_no_room_for_the_snapshot(nft: Machine) -> None:
    nft.run("mkdir -p /etc/voice /var/lib/vosctl; head -c 600000 /dev/zero >/etc/voice/a")
    nft.run("mount -t tmpfs -o size=800k,mode=700 small /var/lib/vosctl")
    try:
        answer = nft.apply(Wanted().file("/etc/voice/a", b"new"))
        assert answer["op"] == "error"
        assert "disk full: /var/lib/vosctl" in answer["error"]
        assert nft.path("/etc/voice/a").stat().st_size == 600000
    finally:
        nft.run("umount /var/lib/vosctl")


@pytest.mark.netns
def test_a_read_only_etc(nft: Machine) -> None:
    nft.run("mkdir -p /etc/voice")
    wanted = Wanted().file("/etc/voice/a", b"1").file("/srv/b", b"2")
    nft.run("mount -o remount,ro /etc")
    try:
        answer = nft.apply(wanted)
        assert answer["op"] == "error"
        assert "/etc/voice/a: Read-only file system" in answer["error"]
        assert "remount" in answer["hint"]
        assert not nft.path("/srv/b").exists()
    finally:
        nft.run("mount -o remount,rw /etc")
    nft.settle(wanted)
    nft.run("rm /srv/b")


@pytest.mark.netns
def test_a_state_folder_that_cannot_be_written(nft: Machine) -> None:
    nft.inspect(Wanted())
    nft.run("mount -o remount,ro /var")
    try:
        answer = nft.apply(Wanted().file("/etc/voice/a", b"1"))
        assert answer["op"] == "error"
        assert "Read-only file system" in answer["error"]
        assert not nft.path("/etc/voice").exists()
    finally:
        nft.run("mount -o remount,rw /var")


def hold(host: Machine, seconds: float) -> subprocess.Popen[bytes]:
    """Hold the xtables lock as another iptables would."""
    process = subprocess.Popen(
        host.argv(["flock", "/run/xtables.lock", "sh", "-c", f"echo held; sleep {seconds}"]),
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.netns
def test_a_held_xtables_lock_is_waited_for_and_a_second_operator_told(legacy: Machine) -> None:
    wanted = Wanted().rules(RULES.format("a").replace("-m set --match-set vos-a src ", ""), HOOK)
    observed = legacy.inspect(wanted)
    with hold(legacy, 3), legacy.agent() as agent:
        agent.send(legacy.apply_frame(wanted, observed))
        assert wait_until(lambda: legacy.ask("status")["lock"] is not None)
        locked = legacy.ask("status")["lock"]
        assert locked["holder"] == "tester@here"
        assert locked["what"].startswith("apply ")
        answer = legacy.apply(wanted)
        assert (answer["op"], answer["kind"]) == ("error", "locked")
        assert "tester@here is at work since" in answer["error"]
        while (applied := agent.receive())["op"] == "progress":
            pass
    assert applied["op"] == "applied", applied
    assert legacy.ask("confirm", id=applied["id"])["op"] == "confirmed"


@pytest.mark.slow
@pytest.mark.netns
def test_an_xtables_lock_that_is_never_given_back(legacy: Machine) -> None:
    wanted = (
        Wanted()
        .rules(RULES.format("a").replace("-m set --match-set vos-a src ", ""), HOOK)
        .file("/etc/voice/a", b"1")
    )
    with hold(legacy, 15):
        answer = legacy.apply(wanted)
    assert answer["op"] == "error"
    assert "xtables lock" in answer["error"]
    assert "fuser" in answer["hint"]
    assert not legacy.path("/etc/voice").exists()


def test_a_lock_of_a_dead_process_is_taken_over(folder: Target) -> None:
    folder.settle(Wanted().file("/etc/a", b"1"))
    lock = folder.path("/var/lib/vosctl/lock")
    lock.write_text('{"holder": "ghost@gone", "since": 1, "what": "apply x", "pid": 4194304, "start": 1}')
    assert folder.ask("status")["lock"] is None
    folder.settle(Wanted().file("/etc/a", b"2"))
