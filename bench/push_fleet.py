"""vosctl, ansible-core and pyinfra bring the same fleet to the same state: the first time, with nothing to do, one file.

``push-N``: all three tools in turn on N hosts; each row is vosctl's median against one peer's, ``-cpu`` the
controller's CPU time, ``-node`` a host's; vosctl and ansible hold their connections for a minute, ``first`` begins
without any. ``push-*-held-N``: the same without held connections. ``push-floor-N``: the push part of a no-change run against connecting and ``true`` with the
library alone. ``push-200``: vosctl on 200 hosts with either SSH library. ``push-cpu-host``: what one more host costs
the controller, from 20 and 200 hosts. Hosts and controller share the machine's cores.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.push_bed import Bed, Run, bed
from bench.push_tools import PEERS, Ansible, Pyinfra, Tool, Vosctl

NAMES = ("push-10", "push-20", "push-50", "push-200", "push-cpu-host")

_STEPS = ("first", "noop", "onefile")
_RUNS = 3
_SLOW = 10.0
# So many times faster than the peer is the goal.
_TARGETS: dict[str, dict[str, float]] = {"ansible": {"first": 15, "noop": 30, "onefile": 15}, "pyinfra": {"first": 1.5, "noop": 2.5, "onefile": 1.5}}  # fmt: skip
_FEW, _MANY = 20, 200
_MS_HOST, _KB_HOST = 12.0, 200.0

Times = dict[str, list[Run]]
Row = dict[str, Any]


def run(name: str) -> list[Row]:
    """Return the figures of one bench."""
    if name == "push-cpu-host":
        return _per_host(name)
    count = int(name.rpartition("-")[2])
    with bed(count) as made:
        return _many(made, name) if count == _MANY else compare(made, name)


def compare(made: Bed, name: str, *, runs: int = _RUNS) -> list[Row]:
    """Return the rows of one fleet: all tools, all steps, and the floor."""
    if not PEERS.exists():
        raise RuntimeError(f"{PEERS} is missing: scripts/setup.sh peers makes it")
    found: dict[str, Times] = {"vosctl": _steps(made, Vosctl(made), runs)}
    anew = _steps(made, Vosctl(made, persist=0), runs)
    floor = _floor(made, name, runs)
    peers: dict[str, Tool] = {"pyinfra": Pyinfra(made), "ansible": Ansible(made)}
    for peer, tool in peers.items():
        found[peer] = _steps(made, tool, runs)
    count = len(made.nodes)
    rows = []
    for peer in ("ansible", "pyinfra"):
        for step in _STEPS:
            for suffix, unit, of in (
                ("", "s", _wall),
                ("-cpu", "s CPU", _cpu),
                ("-node", "s CPU of a host", _node),
            ):
                rows.append(_row(f"push-{step}-{peer}-{count}{suffix}", _median(found["vosctl"][step], of), unit,
                                 f"{peer}; goal 1/{_TARGETS[peer][step]:g}" if not suffix else peer,
                                 _median(found[peer][step], of), name))  # fmt: skip
    for step in _STEPS:
        for suffix, unit, of in (
            ("", "s", _wall),
            ("-cpu", "s CPU", _cpu),
            ("-node", "s CPU of a host", _node),
        ):
            rows.append(_row(f"push-{step}-held-{count}{suffix}", _median(found["vosctl"][step], of),
                             f"{unit}, connections held", "logged in anew", _median(anew[step], of), name))  # fmt: skip
    held = max(run.held for run in found["vosctl"]["noop"]) / count
    rows.append(_row(f"push-held-memory-{count}", round(held), "KiB a host, held connections", "goal of the controller", _KB_HOST, name))  # fmt: skip
    return [*rows, *floor]


def _steps(made: Bed, tool: Tool, runs: int) -> Times:
    """Return the runs of each step; slow ones once."""
    found: Times = {step: [] for step in _STEPS}
    version = 0
    for number in range(runs):
        for step in _STEPS:
            if number and found[step][0].wall > _SLOW:
                continue
            if step == "first":
                made.reset()
                made.leave()
            version += step != "noop"
            tool.prepare(version)
            if step == "noop":
                tool.apply()  # a run before: whatever a tool keeps for the next one is there
            found[step].append(tool.apply())
            made.check()
    return found


def _floor(made: Bed, name: str, runs: int) -> list[Row]:
    parts = {(what, library): part(made, what, library, runs) for what in ("floor", "push") for library in ("paramiko", "asyncssh")}  # fmt: skip
    count = len(made.nodes)
    rows = []
    for library in ("paramiko", "asyncssh"):
        suffix = "" if library == "paramiko" else f"-{library}"
        push, floor = parts["push", library], parts["floor", library]
        rows.append(_row(f"push-floor-{count}{suffix}", push["wall"], "s, push part of no change",
                         f"connect and true, {library}; goal 1.4", floor["wall"], name))  # fmt: skip
    return rows


def part(made: Bed, what: str, library: str, runs: int = _RUNS) -> dict[str, float]:
    """Return the medians of one part of a no-change run, as ``bench.push_floor`` measures it."""
    command = (
        sys.executable, "-m", "bench.push_floor", what, library, str(made.folder / "site/playbooks/site.yml"),
        str(made.fleet.private_key), str(made.fleet.known_hosts),
    )  # fmt: skip
    root = str(Path(__file__).resolve().parent.parent)
    said = [json.loads(made.measure(command, {"PYTHONPATH": root}).said.splitlines()[-1]) for _ in range(runs)]  # fmt: skip
    return {key: round(statistics.median(each[key] for each in said), 3) for key in ("wall", "cpu")}


def _many(made: Bed, name: str) -> list[Row]:
    """Return what 200 hosts take with either library; the peers would take minutes."""
    rows = []
    libraries = {
        library: _steps(made, Vosctl(made, transport=library, persist=0), 1)
        for library in ("paramiko", "asyncssh")
    }
    for step in _STEPS:
        for suffix, unit, of in (("", "s", _wall), ("-cpu", "s CPU", _cpu)):
            rows.append(_row(f"push-{step}-{len(made.nodes)}{suffix}", _median(libraries["asyncssh"][step], of),
                             f"{unit}, asyncssh", "paramiko", _median(libraries["paramiko"][step], of), name))  # fmt: skip
    return [*rows, *_floor(made, name, _RUNS)]  # the first of them looks at each node whole


def _per_host(name: str) -> list[Row]:
    """Return milliseconds of CPU and kibibytes that one more host costs the controller."""
    totals = {}
    for count in (_FEW, _MANY):
        with bed(count) as made:
            totals[count] = _steps(made, Vosctl(made, persist=0), 1)
    rows = []
    for step in _STEPS:
        few, many = (totals[count][step] for count in (_FEW, _MANY))
        cpu = (_median(many, _cpu) - _median(few, _cpu)) * 1000 / (_MANY - _FEW)
        memory = (_median(many, _memory) - _median(few, _memory)) / (_MANY - _FEW)
        suffix = "" if step == "noop" else f"-{step}"
        rows += [_row(f"push-cpu-host{suffix}", round(cpu, 2), "ms CPU", "goal", _MS_HOST, name),
                 _row(f"push-memory-host{suffix}", round(memory, 1), "KiB", "goal", _KB_HOST, name)]  # fmt: skip
    return rows


def _wall(run: Run) -> float:
    return run.wall


def _node(run: Run) -> float:
    return run.node


def _cpu(run: Run) -> float:
    return run.cpu


def _memory(run: Run) -> float:
    return run.memory


def _median(runs: list[Run], of: Callable[[Run], float]) -> float:
    return round(statistics.median(map(of, runs)), 3)


def _row(  # noqa: PLR0917  a row has that many columns
    name: str, figure: float, unit: str, peer: str, peer_figure: float, bench: str
) -> Row:
    return {"name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": peer_figure,
            "command": f"make bench ONLY={bench}"}  # fmt: skip
