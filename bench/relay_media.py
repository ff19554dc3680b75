"""What a relayed packet costs, how many one core can take, and how long they stay: beside rtpengine, in one run.

Both relays run on one core and the load generator on the other, all at real-time priority; CPU is the run
time of the relay's tasks over the packets relayed. Calls are made by the NG protocol, learning and statistics
are on. Traffic comes in bursts of a millisecond's packets, or packet by packet where latency is the question.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from bench.relay_bed import Bed, Generator, Run, bed, cpu_seconds
from bench.relay_subjects import Subject, rtpengine, set_up, version, vosctl

_MODES = ("none", "xor", "rc4", "aes128", "srtp")
NAMES = (
    *(f"relay-cpu-{mode}" for mode in _MODES),
    "relay-rate-none",
    "relay-latency-p99",
    "relay-cpu-2000-calls",
)

_CALLS, _MANY = 500, 2000
_RATE = 100  # packets a second of one call, both ways
_SECONDS, _RUNS, _PAIRS, _STARTS = 2.0, 3, 3, 2
_WARM_SECONDS = 4.0  # rtpengine takes 3 s to believe an address
_LOSS_FREE = 1e-4
_STEP = 4000
_TRIALS = 2

Make = Callable[[Bed, str], AbstractContextManager[Subject]]


def run(name: str) -> list[dict[str, Any]]:
    """Measure ``name`` on both relays."""
    with bed() as made:
        if name == "relay-rate-none":
            return [_result(name, "packets/s", _loss_free(made, vosctl), _loss_free(made, rtpengine))]
        if name == "relay-latency-p99":
            return _latency(name, made)
        if name == "relay-cpu-2000-calls":
            return _many(name, made)
        return [_cost(name, made, name.removeprefix("relay-cpu-"))]


def _result(name: str, unit: str, figure: float, peer_figure: float, peer: str = "") -> dict[str, Any]:
    command = "make bench ONLY=" + next(known for known in NAMES if name.startswith(known))
    return {
        "name": name, "figure": round(figure, 6), "unit": unit, "peer": peer or version(),
        "peer_figure": round(peer_figure, 6), "command": command,
    }  # fmt: skip


@contextmanager
def _loaded(made: Bed, make: Make, mode: str, calls: int) -> Iterator[tuple[Subject, Generator]]:
    """Start a relay, make the calls, and let packets flow until every address is learned."""
    with make(made, mode) as subject, made.generator() as generator:
        set_up(subject, generator, calls, mode)
        generator.run(min(calls, _CALLS) * _RATE, _WARM_SECONDS)
        yield subject, generator


def _microseconds(subject: Subject, generator: Generator, rate: float) -> tuple[float, Run]:
    """Return CPU microseconds a relayed packet, and what the generator counted."""
    pids = subject.pids
    before = cpu_seconds(pids)
    told = generator.run(rate, _SECONDS)
    return (cpu_seconds(pids) - before) * 1e6 / max(1, told["received"]), told


def _typical(made: Bed, make: Make, mode: str, calls: int = _CALLS) -> tuple[float, float]:
    """Return the median CPU microseconds a packet of some runs, and their worst loss."""
    with _loaded(made, make, mode, calls) as (subject, generator):
        runs = [_microseconds(subject, generator, calls * _RATE) for _ in range(_RUNS)]
    return statistics.median(cost for cost, _ in runs), max(told["loss"] for _, told in runs)


def _cost(name: str, made: Bed, mode: str) -> dict[str, Any]:
    """Compare with rtpengine where it can do the same, and with this relay's plain forwarding where not."""
    both = mode in ("none", "srtp")
    peer, what = (rtpengine, mode) if both else (vosctl, "none")
    # One start differs from the next by more than what is asked here: so in turns, and by the median.
    pairs = [[_typical(made, vosctl, mode)[0], _typical(made, peer, what)[0]] for _ in range(_PAIRS)]
    cost, beside = map(statistics.median, zip(*pairs, strict=True))
    return _result(name, "µs CPU a packet", cost, beside, "" if both else "vosctl none")


def _many(name: str, made: Bed) -> list[dict[str, Any]]:
    cost, loss = _typical(made, vosctl, "none", _MANY)
    few, _ = _typical(made, vosctl, "none")
    _, peer_loss = _typical(made, rtpengine, "none", _MANY)
    return [
        _result(name, "µs CPU a packet", cost, few, f"vosctl {_CALLS} calls"),
        _result(f"{name}-loss", "% lost", loss * 100, peer_loss * 100),
    ]


def _latency(name: str, made: Bed) -> list[dict[str, Any]]:
    """Packet by packet: every one has to wake the relay, or the core too. In turns, as starts differ."""
    makes: dict[str, Make] = {
        "": vosctl,
        "-low": functools.partial(vosctl, low_latency=True),
        "peer": rtpengine,
    }
    found: dict[str, list[Run]] = {key: [] for key in makes}
    for _ in range(_STARTS):
        for key, make in makes.items():
            with _loaded(made, make, "none", _CALLS) as (_, generator):
                found[key] += [generator.run(_CALLS * _RATE, _SECONDS, 0) for _ in range(_RUNS)]
    return [
        _result(f"{name}{key}{suffix}", "µs", _median(found[key], share), _median(found["peer"], share))
        for key in ("", "-low")
        for share, suffix in (("p99", ""), ("p50", "-median"))
    ]


def _median(runs: list[Run], share: str) -> float:
    return statistics.median(told[share] for told in runs)


def _loss_free(made: Bed, make: Make) -> float:
    """Return the highest rate, to ``_STEP``, at which in one of some trials hardly a packet is lost."""
    with _loaded(made, make, "none", _CALLS) as (_, generator):
        low, high = 0, 2
        while high <= 128 and _passes(generator, high * _STEP):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _passes(generator, middle * _STEP) else (low, middle)
    return float(low * _STEP)


def _passes(generator: Generator, rate: int) -> bool:
    for _ in range(_TRIALS):
        told = generator.run(rate, 1.0)
        if told["loss"] <= _LOSS_FREE and told["seconds"] < 1.01:
            return True
    return False
