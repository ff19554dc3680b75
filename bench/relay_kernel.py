"""What the kernel's path costs, by all CPU that anybody uses: this relay with it, without it, and rtpengine.

The kernel's path runs where packets arrive: within the task that sends them (a veth pair's other end is the sender's
time), or a kernel thread. So the relay's own run time says nothing of it. Counted here are the relay's tasks, the
load generator's and the kernel's softirq threads, less what the generator takes for the same packets to an address
that drops them. The generator's work on what comes back is in all three figures alike.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.relay_bed import RELAY_ADDRESS, Bed, Generator, Run, bed, cpu_seconds
from bench.relay_subjects import PORTS, Subject, endpoints, rtpengine, set_up, version, vosctl

NAMES = ("relay-cpu-kernel", "relay-latency-p99-kernel")
Make = Callable[[Bed, str], contextlib.AbstractContextManager[Subject]]
_CALLS, _RATE = 500, 100  # packets a second of one call, both ways
_SECONDS, _RUNS, _STARTS = 2.0, 3, 2
_SETTLE = 0.3  # seconds that the generator looks out for what is missing, when a run is over (SETTLE_NS)
_WARM_SECONDS = 4.0  # rtpengine takes 3 s to believe an address
_MAKES: dict[str, Make] = {
    "": functools.partial(vosctl, kernel_path=True),
    "-without": vosctl,
    "peer": rtpengine,
}


def run(name: str) -> list[dict[str, Any]]:
    """Measure ``name`` with the path, without it and with rtpengine, in turns."""
    with bed() as made:
        return _cost(name, made) if name == NAMES[0] else _latency(name, made)


def _result(name: str, unit: str, figure: float, peer: float, command: str) -> dict[str, Any]:
    return {
        "name": name, "figure": round(figure, 6), "unit": unit, "peer": version(), "peer_figure": round(peer, 6),
        "command": f"make bench ONLY={command}",
    }  # fmt: skip


@contextlib.contextmanager
def _loaded(made: Bed, key: str) -> Iterator[tuple[Subject, Generator]]:
    with _MAKES[key](made, "none") as subject, made.generator() as generator:
        set_up(subject, generator, _CALLS)
        generator.run(_CALLS * _RATE, _WARM_SECONDS)
        yield subject, generator


def _cost(name: str, made: Bed) -> list[dict[str, Any]]:
    spent: dict[str, list[float]] = {key: [] for key in _MAKES}
    alone: list[float] = []
    for _ in range(_STARTS):
        with _sink(made) as generator:
            alone += [_microseconds([], generator, "sent") for _ in range(_RUNS)]
        for key in _MAKES:
            with _loaded(made, key) as (subject, generator):
                spent[key] += [_microseconds(subject.pids, generator, "received") for _ in range(_RUNS)]
    less = statistics.median(alone)
    cost = {key: statistics.median(each) - less for key, each in spent.items()}
    unit = "µs of all CPU a packet"
    return [_result(f"{name}{key}", unit, cost[key], cost["peer"], name) for key in ("", "-without")]


def _microseconds(pids: list[int], generator: Generator, what: str) -> float:
    pids = [*pids, generator.pid, *_softirq_threads()]
    before = cpu_seconds(pids)
    told = generator.run(_CALLS * _RATE, _SECONDS)
    waited = _SETTLE if told["received"] < told["sent"] else 0.0
    return (cpu_seconds(pids) - before - waited) * 1e6 / max(1, told[what])


@contextlib.contextmanager
def _sink(made: Bed) -> Iterator[Generator]:
    """Yield a generator whose packets end at the routing of the same machine, which has not got the address."""
    address = f"{RELAY_ADDRESS}/16"
    device = made.relay_device
    route = ("ip", "-n", made.relay, "route", "replace", "10.78.0.0/15", "via", "10.77.0.2")
    blackhole = ("blackhole", f"{RELAY_ADDRESS}/32")
    subprocess.run(("ip", "-n", made.relay, "addr", "del", address, "dev", device), check=True)
    subprocess.run(("ip", "-n", made.relay, "route", "add", *blackhole), check=True)
    try:
        with made.generator() as generator:
            for number in range(_CALLS):
                caller, callee = endpoints(number)
                generator.flow(caller, (RELAY_ADDRESS, PORTS[0] + 4 * number), callee)
                generator.flow(callee, (RELAY_ADDRESS, PORTS[0] + 4 * number + 2), caller)
            yield generator
    finally:
        subprocess.run(("ip", "-n", made.relay, "route", "del", *blackhole), check=True)
        subprocess.run(("ip", "-n", made.relay, "addr", "add", address, "dev", device), check=True)
        subprocess.run(route, check=True)


def _softirq_threads() -> list[int]:
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text(encoding="ascii", errors="replace").startswith("ksoftirqd/"):
                found.append(int(name.parent.name))
    return found


def _latency(name: str, made: Bed) -> list[dict[str, Any]]:
    """Packet by packet, each sent when it is due."""
    found: dict[str, list[Run]] = {key: [] for key in ("", "peer")}
    for _ in range(_STARTS):
        for key, runs in found.items():
            with _loaded(made, key) as (_, generator):
                runs += [generator.run(_CALLS * _RATE, _SECONDS, 0) for _ in range(_RUNS)]
    return [
        _result(f"{name}{suffix}", "µs", _median(found[""], share), _median(found["peer"], share), name)
        for share, suffix in (("p99", ""), ("p50", "-median"))
    ]


def _median(runs: list[Run], share: str) -> float:
    return statistics.median(told[share] for told in runs)
