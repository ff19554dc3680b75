"""A node in one of two states, ways to break it, and what it means that it is whole.

Whole is a node whose files (all below /etc, /opt, /root, /usr and /var that differ from the machine's, with modes and
owners, those that hold users and groups among them), rules of both families and sets as the kernel holds them, kernel
settings, daemons with the configuration that each read last, and the agent's own documents are those of one of the two
states, recorded when nothing broke.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent_client import PYTHON, Agent, Frame, Machine, wait_until
from daemon_source import DAEMON
from whole_states import NEW, OLD, Compiled

from vosctl.fleet import Fleet
from vosctl.fleet.state import DISKS

BREAK = Path(__file__).with_name("syscall_break.py").read_text(encoding="utf-8")
LOG = "/root/calls"
AGENT = "/var/lib/vosctl/agent.pyz"
SETTINGS = ("net/ipv4/ip_forward", "net/ipv4/tcp_keepalive_time", "net/ipv4/tcp_fin_timeout")
# What others have loaded must stay. A reboot takes it, as it takes everything in the kernel.
FOREIGN = """
iptables -A INPUT -i lo -j ACCEPT; ip6tables -A FORWARD -j DROP; ipset create other hash:ip; ipset add other 192.0.2.9
"""
LOOK = """
iptables-save; echo ====; ip6tables-save; echo ====; ipset save; echo ====; cd /proc/sys; tail -n +1 {settings}; echo ====
for d in daemon second; do pgrep -fc "$d-d supervise" && tail -n 1 /run/$d.log 2>/dev/null | cut -d' ' -f2-; done
""".format(settings=" ".join(SETTINGS))  # fmt: skip
# Not the node's state: the agent's (looked at apart), releases that no link names, and this test's own.
APART = (
    "/var/lib/vosctl",
    "/opt/vosctl/releases",
    "/root/calls",
    "/etc/alternatives",
    "/etc/ssh/fleet",
    "/var/tmp",
    # What passwd's family keeps beside its files: the content before the last change, and locks.
    *(
        f"/etc/{name}{end}"
        for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
        for end in "-."
    ),
    "/etc/.pwd.lock",
)


class WholeNode(Machine):
    """A host that knows both states, how each looks, and the snapshots that must be there."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(fleet, name)
        self.disk = fleet.directory / DISKS / name
        self.chain: list[str] = []
        self.lock_outs: list[str] = []
        self.away = threading.Event()
        self.sound = False

    def prepare(self) -> None:
        """Record both states; the node is in the old one then, ``self.at``."""
        self.kill_guard()
        self.clean()
        self.run(FOREIGN)
        self.chain, self.lock_outs = [], []
        folder = self.path("/opt/daemon")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("daemon", "second"):
            program = folder / f"{name}-d"
            program.write_bytes(DAEMON.replace(b"daemon", name.encode()))
            program.chmod(0o755)
        self.looks: dict[Compiled, Frame] = {}
        # Once before it counts: folders that were made for files stay.
        for state in (OLD, NEW):
            self.keep(state)
        for state in (OLD, NEW, OLD):
            self.keep(state)
            self.looks.setdefault(state, self.look())
            assert not (found := self.differs(state)), found
        self.at, self.to, self.sound = OLD, NEW, True

    def keep(self, state: Compiled) -> str:
        """Apply a state and confirm it; the apply's id."""
        applied = self.settle(state)  # type: ignore[arg-type]
        if applied["changed"]:
            self.chain = [applied["id"], *self.chain][:5]
        return str(applied["id"])

    # Looking.

    def look(self) -> Frame:
        four, six, sets, settings, daemons = self.run(LOOK, check=False).split("====\n")
        return {
            "files": self._files(), "rules v4": _rules(four), "rules v6": _rules(six),
            "sets": sorted(line.split(" hashsize")[0] for line in sets.splitlines()),
            "sysctls": settings, "services": daemons, "documents": self._documents(),
        }  # fmt: skip

    def _files(self) -> dict[str, Any]:
        found = {}
        for top in ("etc.upper", "opt.upper", "root", "usr.upper", "var.upper"):
            for folder, folders, names in os.walk(self.disk / top):
                for name in (*folders, *names):
                    path = Path(folder, name)
                    inside = f"/{top.partition('.')[0]}/{path.relative_to(self.disk / top)}"
                    if inside.startswith(APART):
                        continue
                    status = path.lstat()
                    content = (
                        str(path.readlink())
                        if path.is_symlink()
                        else path.read_bytes()
                        if path.is_file()
                        else None
                    )
                    found[inside] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
        return found

    def _documents(self) -> dict[str, Any]:
        found = {name: self.document(name) for name in ("applied", "firewall")}
        applied = found["applied"] or {}
        found["applied"] = {key: applied[key] for key in applied if key not in ("id", "last", "time")}
        loaded = self.path("/run/vosctl/loaded.json")
        return {**found, "loaded": json.loads(loaded.read_bytes()) if loaded.exists() else None}

    def document(self, name: str) -> Any:
        # The guard may take it away at this very moment.
        try:
            return json.loads((self.disk / "var.upper/lib/vosctl" / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None

    def differs(self, state: Compiled) -> dict[str, Any]:
        """What is not as it looks in a state; a daemon may take a moment to read its configuration."""
        until = time.monotonic() + 3
        while True:
            now, then = self.look(), self.looks[state]
            found = {key: _difference(now[key], then[key]) for key in then if now[key] != then[key]}
            if set(found) != {"services"} or time.monotonic() > until:
                return found
            time.sleep(0.02)

    # Checking.

    def check(self, state: Compiled) -> None:
        assert not (found := self.differs(state)), found
        self.at = state

    def check_after_reboot(self, state: Compiled, *, booted: bool = False) -> None:
        """The disk is whole. What only the kernel held may be gone, but then the plan says so."""
        found = self.differs(state)
        found.get("documents", {}).pop("loaded", None)
        assert not found.get("files"), found
        assert not found.get("documents"), found
        said = {line.split()[0] for line in state.left(self.inspect(state))}  # type: ignore[arg-type]
        kinds = {
            "rules v4": "ruleset",
            "rules v6": "ruleset",
            "sets": "set",
            "sysctls": "sysctl",
            "services": "service",
        }
        assert {kinds[key] for key in found if key in kinds} <= said, (found, said)
        if booted:
            assert not said & {"ruleset", "set"}, said
        self.at = state

    def check_converges(self) -> None:
        """The next ordinary apply, of the other state, works and leaves nothing behind."""
        self.to = NEW if self.at is OLD else OLD
        self.keep(self.to)
        self.check(self.to)
        observed = self.inspect(self.to)  # type: ignore[arg-type]
        assert self.to.left(observed) == []
        assert (observed["pending"], observed["lock"], observed["recovered"]) == (None, None, "")
        assert wait_until(lambda: "python3" not in self.run("ps -e -o comm="), 5), self.run("ps -ef")
        folder = self.disk / "var.upper/lib/vosctl"
        assert sorted(self.chain) == sorted(path.name for path in (folder / "snapshots").iterdir())
        for name in self.chain:
            manifest = json.loads((folder / "snapshots" / name / "manifest.json").read_bytes())
            for record in manifest["files"]:
                assert record["kind"] != "file" or (folder / "snapshots" / name / record["blob"]).exists()
            parts = [*manifest["documents"], *(["kernel"] if manifest["firewall"] else [])]
            for part in parts:
                assert json.loads((folder / "snapshots" / name / f"{part}.json").read_bytes()), part
        assert not list(folder.glob(".*"))
        self.to = NEW if self.at is OLD else OLD

    def check_ssh(self, *, login: bool = False) -> None:
        """A new connection from the controller reaches sshd, and root can log in."""
        self.probe()
        assert not self.lock_outs, self.lock_outs
        if login:
            argv = ("ssh", "-F", str(self.fleet.ssh_config), self.name, "echo here")
            found = subprocess.run(
                self.fleet.controller_argv(argv), capture_output=True, text=True, timeout=30, check=False
            )
            assert found.stdout == "here\n", found.stderr

    def probe(self) -> None:
        address = self.fleet.hosts[self.name].address
        self.fleet.inside(None, lambda: self._knock(address))

    def _knock(self, address: str) -> None:
        try:
            with socket.create_connection((address, 22), timeout=5) as connection:
                assert connection.recv(4) == b"SSH-"
        except (OSError, AssertionError) as error:
            if not self.away.is_set():
                self.lock_outs.append(f"{self.name}: {error}")

    @contextmanager
    def knocking(self) -> Iterator[None]:
        """Try to get in all the time, not only when nothing happens."""
        stop = threading.Event()
        address = self.fleet.hosts[self.name].address

        def knock() -> None:
            while not stop.wait(0.2):
                if not self.away.is_set():
                    self._knock(address)

        worker = threading.Thread(target=lambda: self.fleet.inside(None, knock))
        worker.start()
        try:
            yield
        finally:
            stop.set()
            worker.join()

    # Breaking.

    def broken(self, point: int, act: str = "kill") -> Callable[[list[str]], list[str]]:
        """Return what puts the break in front of a program of the node's."""
        for path in (LOG, f"{LOG}.go"):
            self.path(path).unlink(missing_ok=True)
        return lambda argv: self.argv([PYTHON, "-S", "-c", BREAK, str(point), act, LOG, *argv])

    def broken_agent(self, point: int, act: str = "kill") -> Agent:
        return Agent(self.broken(point, act))

    def broken_ask(self, point: int, frame: Callable[[Agent], Frame]) -> Frame | None:
        """Ask an agent that breaks; None when it died of it."""
        try:
            with self.broken_agent(point) as agent:
                return agent.ask(frame(agent))
        except (EOFError, BrokenPipeError):
            return None

    def broken_apply(self, point: int, *, window: float = 0.3) -> Frame | None:
        def frame(agent: Agent) -> Frame:
            observed = agent.ask(self.frame("inspect", wanted=self.to.frame()))["observed"]
            return self.apply_frame(self.to, observed, window=window)  # type: ignore[arg-type]

        return self.broken_ask(point, frame)

    def broken_program(self, point: int, *arguments: str) -> None:
        subprocess.run(
            self.broken(point)([PYTHON, "-I", "-S", AGENT, *arguments]),
            capture_output=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """The calls that were made up to the break."""
        path = self.disk / LOG[1:]
        return path.read_text().splitlines() if path.exists() else []

    def go_on(self) -> None:
        (self.disk / f"{LOG[1:]}.go").touch()

    def guard(self) -> int:
        """The guard's process as this machine numbers it, 0 when there is none."""
        with suppress(OSError, ValueError):
            found = json.loads(self.path("/run/vosctl/guard.json").read_bytes())
            return int(self.run(f"test -d /proc/{found['pid']} && echo {found['pid']}", check=False) or 0)
        return 0

    def kill_guard(self) -> None:
        if pid := self.guard():
            self.run(f"kill -{signal.SIGKILL} {pid}", check=False)

    def pending(self) -> Any:
        """What waits, read from the disk: asking an agent would settle it."""
        return self.document("pending")

    def pending_state(self) -> str:
        return str((self.pending() or {}).get("state"))

    def booted_agent(self) -> bool:
        """Whether the agent got as far as to store itself for the next boot."""
        return (self.disk / "var.upper" / AGENT.removeprefix("/var/")).exists()

    def told(self, identity: str) -> str:
        """How an apply ended, as ``vosctl history`` tells it."""
        records = self.ask("history")["history"]
        return next(str(record["result"]) for record in records if record["id"] == identity)

    def settled(self) -> bool:
        """Nothing waits any more; where nobody is left who would see to that, the next run does."""
        until = time.monotonic() + 20
        while self.pending() is not None and time.monotonic() < until:
            if not self.guard():
                self.ask("status")
            time.sleep(0.02)
        return self.pending() is None

    def cut_power(self) -> None:
        self.away.set()
        self.fleet.reboot(self.name)
        self.away.clear()
        self.run(FOREIGN)


def _rules(text: str) -> list[str]:
    lines = (line.split(" [")[0] for line in text.splitlines() if not line.startswith(("#", "COMMIT")))
    found = [line for line in lines if line]
    # Tables without rules come and go with looking at them.
    return found if any(line.startswith("-A") for line in found) else []


def _difference(now: Any, then: Any) -> Any:
    if isinstance(now, dict) and isinstance(then, dict):
        return {
            key: (now.get(key), then.get(key))
            for key in now.keys() | then.keys()
            if now.get(key) != then.get(key)
        }
    return (now, then)
