"""The test bed of the push benches: a fleet with its own sshds, and commands on its controller, measured whole.

Wall time is from before the command's start until it has ended. CPU time is the command's and that of all its
descendants, also of those that leave it (ssh's ControlPersist masters): what is left of them is ended after the
clock stopped, and counted. The hosts share the machine's cores with the controller; their CPU time is counted apart, as
that of all processes there and of those that they have reaped (proc(5)).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import push_site
from vosctl.fleet import Fleet, HostSpec

_LIMIT = 420
# Until what a run left on the hosts has ended, seconds.
_SETTLES = 0.5

# Adopts orphans (PR_SET_CHILD_SUBREAPER), so that their CPU time comes home when they are reaped.
_MEASURE = """
import ctypes, json, os, resource, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
log = open(sys.argv[1], "wb")
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - begun
memory = usage.ru_maxrss
children = "/proc/self/task/%d/children" % os.getpid()
while True:
    for child in open(children).read().split():
        os.kill(int(child), signal.SIGTERM)
    try:
        os.wait()
    except ChildProcessError:
        break
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": memory,
                  "status": os.waitstatus_to_exitcode(status)}))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One command: seconds of wall and CPU time, the most memory it held, in KiB, and the CPU time of a host, on average."""

    wall: float
    cpu: float
    memory: int
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

    def measure(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> Run:
        """Run a command on the controller; raise RuntimeError with its output where it fails."""
        log = self.folder / "output"
        before = self._hosts_cpu()
        argv = self.fleet.controller_argv((sys.executable, "-I", "-S", "-c", _MEASURE, str(log), *command))
        done = subprocess.run(
            argv, env={**self.environment, **(more or {})}, cwd=self.folder,
            capture_output=True, text=True, timeout=_LIMIT, check=False,
        )  # fmt: skip
        said = log.read_text(encoding="utf-8", errors="replace")
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}\n{said[-4000:]}")
        found = json.loads(done.stdout)
        if found.pop("status"):
            raise RuntimeError(f"{' '.join(command)} failed:\n{said[-4000:]}")
        time.sleep(_SETTLES)
        return Run(said=said, node=(self._hosts_cpu() - before) / len(self.nodes), **found)

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
            yield Bed(fleet, folder, nodes)
