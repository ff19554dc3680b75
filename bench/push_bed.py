"""The test bed of the push benches: a fleet with its own sshds, and commands on its controller, measured whole.

Wall time is from before the command's start until it has ended. CPU time is the command's and that of all its
descendants, also of those that leave it (ssh's ControlPersist masters) and serve the next one. The hosts share the machine's cores with the controller; their CPU time is counted apart, as
that of all processes there and of those that they have reaped (proc(5)).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import push_site
from vosctl.fleet import Fleet, HostSpec

_LIMIT = 420
_HOME = Path(__file__).with_name("push_home.py")
# Until what a run left on the hosts has ended, seconds.
_SETTLES = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One command: seconds of wall and CPU time, the most memory it held, in KiB, and the CPU time of a host, on average.

    ``held``: the memory of what it and those before it left running, in KiB.
    """

    wall: float
    cpu: float
    memory: int
    held: int
    said: str
    node: float


class Bed:
    """A fleet of N hosts with a site for them in ``folder``."""

    def __init__(self, fleet: Fleet, folder: Path, nodes: list[push_site.Host]) -> None:
        self.fleet = fleet
        self.folder = folder
        self.nodes = nodes
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        }
        (folder / "home").mkdir()
        self._log = folder / "output"
        argv = fleet.controller_argv((sys.executable, "-I", "-S", str(_HOME), str(self._log)))
        self._home = subprocess.Popen(
            argv, env=self.environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def measure(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> Run:
        """Run a command on the controller; raise RuntimeError with its output where it fails.

        What it leaves running stays for the next one, until ``leave``.
        """
        before = self._hosts_cpu()
        found = self._ask({"run": list(command), "environment": {**self.environment, **(more or {})}})
        said = self._log.read_text(encoding="utf-8", errors="replace")
        if found.pop("status"):
            raise RuntimeError(f"{' '.join(command)} failed:\n{said[-4000:]}")
        time.sleep(_SETTLES)
        return Run(said=said, node=(self._hosts_cpu() - before) / len(self.nodes), **found)

    def leave(self) -> None:
        """End what the commands left running: connections held for the next one."""
        self._ask({"end": True})

    def close(self) -> None:
        """End it all."""
        self._home.communicate(timeout=_LIMIT)

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        orders, answers = self._home.stdin, self._home.stdout
        if orders is None or answers is None:
            raise RuntimeError("a process without pipes")
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        if not select.select([answers], [], [], _LIMIT)[0]:
            raise RuntimeError(f"{order} took longer than {_LIMIT} s")
        return dict(json.loads(answers.readline()))

    def _hosts_cpu(self) -> float:
        """Return the CPU time of all hosts until now, in seconds."""
        ticks = sum(_ticks(self.fleet.pid(node.name)) for node in self.nodes)
        return ticks / os.sysconf("SC_CLK_TCK")

    def reset(self) -> None:
        """Take from every host what tools of this bench put there."""
        running = [
            self.fleet.popen(node.name, ("sh", "-c", push_site.RESET), stdout=subprocess.DEVNULL)
            for node in self.nodes
        ]
        for process in running:
            process.wait(60)

    def check(self) -> None:
        """Raise RuntimeError unless the first and the last host's kernel hold the job's rules."""
        for node in (self.nodes[0], self.nodes[-1]):
            saved = self.fleet.exec(node.name, ("iptables-save", "-t", "filter")).stdout
            if saved.count("-A VOS-") < push_site.FEWEST_RULES or "-A INPUT -j VOS-INPUT" not in saved:
                raise RuntimeError(f"{node.name} does not hold the job's rules:\n{saved[:2000]}")


def _ticks(pid: int) -> int:
    """Return the CPU time of a process, its children and all that they reaped, in clock ticks (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15])) + sum(_ticks(int(child)) for child in children)


@contextmanager
def bed(count: int) -> Iterator[Bed]:
    """Make a fleet of so many hosts, and take it down."""
    nodes = push_site.hosts(count)
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        with Fleet.up([HostSpec(node.name, node.address) for node in nodes], folder / "fleet") as fleet:
            made = Bed(fleet, folder, nodes)
            try:
                yield made
            finally:
                made.leave()
                made.close()
