"""Speaks the controller's side of the agent's protocol with a real agent process, and makes wanted states."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import struct
import subprocess
import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vosctl.fleet import Fleet
from vosctl.push.agent import bundle

PYTHON = "/usr/bin/python3"
Frame = dict[str, Any]


# Asking legacy makes its tables, and with them a host is not any more as most are.
CLEAN = """
for f in iptables ip6tables; do
  backends=nft; grep -q . /proc/net/${f%tables}_tables_names && backends='nft legacy'
  for b in $backends; do $f-$b -P INPUT ACCEPT; $f-$b -F; $f-$b -X; done
done
ipset destroy
rm -rf /var/lib/vosctl /run/vosctl /run/vosctl-relay /etc/vosctl /etc/voice /opt/vosctl
echo 0 > /proc/sys/net/ipv4/ip_forward
echo 4096 > /proc/sys/net/core/somaxconn
true
"""


def own_user() -> tuple[str, str]:
    return "root", "root"


class Agent:
    """A running agent. ``argv`` wraps the command, so that it runs on a host of a fleet."""

    def __init__(
        self,
        argv: Callable[[Sequence[str]], list[str]] = list,
        *,
        prelude: str = "",
        cache: bool = True,
        python: str = PYTHON,
    ) -> None:
        command = [python, "-I", "-S", "-c", prelude + bundle.LOADER, bundle.digest()]
        if not cache:
            command.append("-")
        self.process = subprocess.Popen(
            argv(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self.had_it = self.read(5) == b"HAVE\n"
        if not self.had_it:
            archive = bundle.archive()
            self.write(struct.pack(">I", len(archive)) + archive)
        self.hello = self.receive()

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.process.stdout.read(size - len(data))
            if not part:
                raise EOFError((self.process.stderr.read() or b"").decode(errors="replace") or "agent closed")
            data += part
        return data

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def send(self, frame: Frame) -> None:
        body = zlib.compress(json.dumps(frame).encode())
        self.write(struct.pack(">I", len(body)) + body)

    def receive(self) -> Frame:
        (size,) = struct.unpack(">I", self.read(4))
        return json.loads(zlib.decompress(self.read(size)))

    def ask(self, frame: Frame) -> Frame:
        """The answer, progress frames left out."""
        self.send(frame)
        while (answer := self.receive())["op"] == "progress":
            pass
        return answer

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        self.process.wait(30)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Target:
    """A node under test: opens agents on it and plays the controller."""

    def __init__(self, root: Path | None = None, argv: Callable[[Sequence[str]], list[str]] = list) -> None:
        self.root = root
        self.argv = argv

    def agent(self, **options: Any) -> Agent:
        options.setdefault("cache", self.root is None)
        return Agent(self.argv, **options)

    def ask(self, op: str, **fields: Any) -> Frame:
        with self.agent() as agent:
            return agent.ask(self.frame(op, **fields))

    def frame(self, op: str, **fields: Any) -> Frame:
        return {"op": op, "root": str(self.root) if self.root else None, **fields}

    def inspect(self, wanted: Wanted) -> Frame:
        answer = self.ask("inspect", wanted=wanted.frame())
        assert answer["op"] == "observed", answer
        return answer["observed"]

    def apply_frame(self, wanted: Wanted, observed: Frame, *, window: float = 30, **fields: Any) -> Frame:
        return self.frame(
            "apply", id=str(uuid.uuid4()), holder="tester@here", revision="abc123", window=window, wanted=wanted.frame(),
            items=wanted.items(observed), observed_digest=observed["digest"], **fields,
        )  # fmt: skip

    def apply(
        self, wanted: Wanted, *, window: float = 30, agent: Agent | None = None, **fields: Any
    ) -> Frame:
        """Inspect and apply over one connection; the last frame."""
        agent = agent or self.agent()
        with agent:
            observed = agent.ask(self.frame("inspect", wanted=wanted.frame()))
            assert observed["op"] == "observed", observed
            return agent.ask(self.apply_frame(wanted, observed["observed"], window=window, **fields))

    def settle(self, wanted: Wanted) -> Frame:
        """Apply and confirm; the applied frame."""
        applied = self.apply(wanted)
        assert applied["op"] == "applied", applied
        confirmed = self.ask("confirm", id=applied["id"])
        assert confirmed["op"] == "confirmed", confirmed
        return applied

    def path(self, path: str) -> Path:
        return Path(f"{self.root or ''}{path}")


class Machine(Target):
    """A host of the fleet as a node."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(argv=partial(fleet.host_argv, name))
        self.fleet = fleet
        self.name = name

    def run(self, script: str, *, check: bool = True) -> str:
        return self.fleet.exec(self.name, ["sh", "-c", script], check=check).stdout

    def path(self, path: str) -> Path:
        return Path(f"{self.fleet.root(self.name)}{path}")

    def clean(self) -> None:
        self.run(CLEAN)

    def rules(self, family: int = 4) -> str:
        """The kernel's rules without comments, counters and empty tables."""
        text = self.run(f"{'iptables' if family == 4 else 'ip6tables'}-save")
        lines = [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#")]
        tables = "\n".join(lines).split("COMMIT")
        return "".join(table.strip() + "\n" for table in tables if "\n-A" in table or " -\n" in table)

    def sets(self) -> list[str]:
        """The kernel's sets and members, sorted, without sizes that the kernel chooses."""
        return sorted(line.split(" hashsize")[0] for line in self.run("ipset save").splitlines())


class Wanted:
    """A wanted state in the making."""

    def __init__(self) -> None:
        self.files: dict[str, Frame] = {}
        self.content: dict[str, bytes] = {}
        self.sets: dict[str, Frame] = {}
        self.members: dict[str, list[str]] = {}
        self.rulesets: dict[int, Frame] = {}
        self.texts: dict[int, str] = {}
        self.sysctls: list[Frame] = []
        self.services: list[Frame] = []
        self.packages: list[str] = []
        self.accounts: list[str] = []
        self.release: Frame | None = None
        self.archive = b""

    def file(self, path: str, content: bytes, **fields: Any) -> Wanted:
        owner, group = own_user()
        self.content[path] = content
        digest = hashlib.sha256(content).hexdigest()
        base = {"path": path, "digest": digest, "mode": 0o644, "owner": owner, "group": group}
        self.files[path] = {**base, "secret": False, "reload": None, **fields}
        return self

    def set(
        self,
        name: str,
        members: list[str],
        *,
        kind: str = "hash:net",
        family: int = 4,
        maxelem: int = 65536,
        options: str = "",
    ) -> Wanted:
        members = sorted(members)
        text = "\n".join((kind, str(family), *([options] if options else []), *members))
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.sets[name] = {"name": name, "type": kind, "family": family, "maxelem": maxelem, "digest": digest}
        self.sets[name]["options"] = options
        self.members[name] = members
        return self

    def rules(self, text: str, *hooks: tuple[str, str, str], family: int = 4) -> Wanted:
        lines = "".join(f"{table} {parent} {chain}\n" for table, parent, chain in hooks)
        digest = hashlib.sha256((lines + text).encode()).hexdigest()
        self.rulesets[family] = {"family": family, "digest": digest, "hooks": [list(hook) for hook in hooks]}
        self.texts[family] = text
        return self

    def sysctl(self, key: str, value: str, *, host_wide: bool = False) -> Wanted:
        self.sysctls.append({"key": key, "value": value, "host_wide": host_wide})
        return self

    def service(self, name: str, **fields: Any) -> Wanted:
        base = {"name": name, "state": "running", "enabled": True, "supervise": [], "pidfile": ""}
        self.services.append({**base, **fields})
        return self

    def releases(self, archive: bytes, version: str = "0.1.0") -> Wanted:
        self.archive = archive
        self.release = {"version": version, "digest": hashlib.sha256(archive).hexdigest()}
        return self

    def frame(self) -> Frame:
        return {
            "node": "n", "revision": None, "packages": self.packages, "accounts": self.accounts, "release": self.release,
            "files": list(self.files.values()), "sets": list(self.sets.values()), "rulesets": list(self.rulesets.values()),
            "sysctls": self.sysctls, "services": self.services,
        }  # fmt: skip

    def items(self, observed: Frame) -> Frame:
        """What differs, as the controller sends it."""
        found: Frame = {"files": {}, "sets": {}, "rulesets": {}, "release": None}
        for path, item in self.files.items():
            if observed["files"][path]["digest"] != item["digest"]:
                found["files"][path] = base64.b64encode(self.content[path]).decode()
        for name, item in self.sets.items():
            if (observed["sets"].get(name) or {}).get("digest") != item["digest"]:
                found["sets"][name] = self.members[name]
        for family, item in self.rulesets.items():
            seen = observed["rulesets"][str(family)]
            if seen["loaded"] != item["digest"] or not seen["intact"]:
                found["rulesets"][str(family)] = self.texts[family]
        if self.release and (observed["release"] or {}).get("digest") != self.release["digest"]:
            found["release"] = {"archive": base64.b64encode(self.archive).decode()}
        return found


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether the condition came true in time."""
    until = time.monotonic() + seconds
    for _ in itertools.count():
        if condition():
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    raise AssertionError


def tree(root: Path) -> dict[str, Any]:
    """Everything below a folder that must not change: names, modes, contents; not the agent's own state."""
    found: dict[str, Any] = {}
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(place, name)
            inside = f"/{path.relative_to(root)}"
            if inside.startswith(("/var/lib/vosctl", "/run")):
                continue
            mode = path.lstat().st_mode
            found[inside] = (
                str(path.readlink())
                if path.is_symlink()
                else (mode, path.read_bytes() if path.is_file() else None)
            )
    return found
