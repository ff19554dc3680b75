"""Traces of jitter: when each packet of 20 ms arrives, so that RFC 3550's estimate of them is the figure asked for.

The estimate (§6.4.1, A.8) takes packets as they come: the mean of how far the distance of two arrivals is from that
of their timestamps. Packets that keep their order cannot have more than twice their own spacing of it, 40 ms here:
what one of them gains in distance, others lose, and none can lose more than all of its 20 ms.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

PTIME_MS = 20.0
# The presets of the site's defaults: mode, min, max and start in ms; and the jitter (ms) that each is for.
PRESETS = {
    "lan": ("adaptive", 10, 80, 20),
    "wan": ("adaptive", 20, 200, 60),
    "internet": ("adaptive", 40, 300, 100),
    "satellite": ("adaptive", 60, 400, 150),
}
MATCHING = {"lan": 5.0, "wan": 15.0, "internet": 50.0, "satellite": 100.0}
# A fixed buffer waits `start`; these are within the presets' bounds and above what the traces below delay a packet.
FIXED = {"lan": 20, "wan": 60, "internet": 160, "satellite": 310}

Trace = list[tuple[float, int]]  # (arrival in ms, number of the packet), by number


def jitter_ms(arrivals: Iterable[tuple[float, float]]) -> float:
    """RFC 3550's mean difference of ``(arrival, media time)`` in the order given."""
    changes = [abs((b[0] - a[0]) - (b[1] - a[1])) for a, b in itertools.pairwise(arrivals)]
    return sum(changes) / len(changes)


def measured(trace: Trace) -> float:
    return jitter_ms((arrival, number * PTIME_MS) for arrival, number in sorted(trace))


def reordering(jitter: float, count: int, *, seed: int) -> Trace:
    """Delays of any size up to a bound, each packet's of its own: the larger they are the more overtake."""
    dice = random.Random(seed)
    shares = [dice.random() for _ in range(count)]
    return _scaled(jitter, lambda most: [(n * PTIME_MS + most * share, n) for n, share in enumerate(shares)])


def piling(jitter: float, count: int, *, seed: int) -> Trace:
    """As recordings of radio links look, in order: a packet is held up, and those behind it come along with it."""
    dice = random.Random(seed)
    holds = [dice.uniform(0.3, 1.0) if dice.random() < 0.2 else 0.0 for _ in range(count)]

    def through(most: float) -> Trace:
        trace, last = [], 0.0
        for n, hold in enumerate(holds):
            last = max(last + 0.2, n * PTIME_MS + most * hold)
            trace.append((last, n))
        return trace

    return _scaled(jitter, through)


def _scaled(jitter: float, make: Callable[[float], Trace]) -> Trace:
    """The trace whose size makes its measured jitter what is asked for, within a hundredth."""
    low, high = 0.0, 40 * jitter
    for _ in range(60):
        size = (low + high) / 2
        low, high = (size, high) if measured(make(size)) < jitter else (low, size)
    trace = make(high)
    assert abs(measured(trace) - jitter) < jitter / 100, "no trace of this kind has so much jitter"
    return trace
