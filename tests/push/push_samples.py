"""Nodes to push to, states to push, and a processor that remembers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vosctl.compile.desired import Desired, File
from vosctl.push.event import Event, HostFinished, HostStarted, HostStep
from vosctl.push.options import PushOptions
from vosctl.push.result import HostResult
from vosctl.site.model import Connection

KEY = "Zx9TrunkKeyNobodyMaySee1"


def sshd(fleet: Any, name: str, config: str, port: int) -> None:
    """Start another sshd on a host and return when it listens, which is a moment after its command is done."""
    fleet.exec(name, ["/usr/sbin/sshd", "-f", config])
    until = time.monotonic() + 20
    while not fleet.exec(name, ["ss", "-Hltn", f"sport = :{port}"]).stdout:
        assert time.monotonic() < until, f"no sshd on port {port} of {name}"
        time.sleep(0.05)


def connection(host: str = "localhost", *, root: Path | None = None, **fields: Any) -> Connection:
    kind = fields.pop("kind", "local" if root else "ssh")
    defaults = {
        "port": 22,
        "user": None,
        "become": False,
        "private_key": None,
        "ssh_config": None,
        "known_hosts": None,
    }
    return Connection(kind=kind, host=host, root=root, **{**defaults, **fields})


def site_of(**connections: Connection) -> Any:
    """As much of a Site as push looks at; underscores in names become dashes."""
    nodes = {
        name.replace("_", "-"): SimpleNamespace(name=name.replace("_", "-"), connection=made)
        for name, made in connections.items()
    }
    return SimpleNamespace(nodes=nodes, selected=tuple(nodes))


def desired_of(*files: File, node: str = "edge-a", **fields: Any) -> Desired:
    empty: dict[str, Any] = {
        "packages": (),
        "release": None,
        "sets": (),
        "rulesets": (),
        "sysctls": (),
        "services": (),
    }
    return Desired(node=node, files=files, **{**empty, **fields})


def options(**fields: Any) -> PushOptions:
    """Options that never look into this machine's own ~/.ssh or /etc/ssh.

    ``transport="held"``: paramiko, and connections that are held for 20 s.
    """
    if fields.get("transport") == "held":
        fields = {"persist": 20.0, **fields, "transport": "paramiko"}
    quick = {
        "connect_timeout": 5.0,
        "timeout": 30.0,
        "confirm_window": 20.0,
        "holder": "tester@here",
        "revision": "0123abc",
    }
    return PushOptions(
        **{**quick, "home": Path("/nonexistent"), "agent": False, "system_ssh": False, **fields}
    )


@dataclass
class Recorder:
    """Remembers every call; ``on_step`` maps a step to something to do at its first call."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    on_step: Mapping[str, Any] = field(default_factory=dict)

    def handle(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, HostStarted):
            self.calls.append(("started", event.node))
        elif isinstance(event, HostStep):
            self.host_step(event.node, event.step, event.done, event.of)
        elif isinstance(event, HostFinished):
            self.host_finished(event.result)

    def host_step(self, node: str, step: str, done: int, of: int) -> None:
        first = ("step", node, step) not in [call[:3] for call in self.calls]
        self.calls.append(("step", node, step, done, of))
        if first and step in self.on_step:
            self.on_step[step]()

    def host_finished(self, result: HostResult) -> None:
        self.calls.append(("finished", result.node, result.status))

    def steps(self, node: str) -> list[str]:
        return list(dict.fromkeys(call[2] for call in self.calls if call[:2] == ("step", node)))
