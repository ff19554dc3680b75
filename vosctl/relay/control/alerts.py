"""When a gateway's or trunk's media is no longer good: loss, jitter and latency against their thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from vosctl.relay.control.settings import Alerts

Json = Dict[str, Any]

UNITS = {"loss": "%", "jitter": "ms", "latency": "ms"}
# Fewer packets than a second of one call has say nothing of a percentage.
FEWEST_PACKETS = 50
# An alert is over when its figure is well below the threshold, not when it wavers around it.
CLEARED_BELOW = 0.8


class Alert(NamedTuple):
    """A figure of ``peer`` that crossed its threshold: ``state`` is ``raised`` or ``cleared``."""

    state: str
    peer: str
    figure: str
    value: float
    threshold: float
    call: str

    def __str__(self) -> str:
        unit = UNITS[self.figure]
        told = f"{self.figure} {self.value:.3g} {unit} at `{self.peer or 'unnamed'}`"
        if self.state == "raised":
            return f"alert: {told}, threshold {self.threshold:g} {unit}, worst in call {self.call}"
        return f"alert over: {told}, threshold {self.threshold:g} {unit}"


class Figure(NamedTuple):
    """A peer's value, and the call that is worst in it."""

    value: float
    call: str


@dataclass
class _Leg:
    """What one leg did since the last look; ``jitter`` and ``latency`` are in ms."""

    call: str
    expected: int
    lost: int
    jitter: float
    latency: Optional[float]


class Watchman:
    """Compares what is measured now with what was before; remembers which alerts are raised."""

    def __init__(self) -> None:
        self._before: Dict[Tuple[str, int, str], Tuple[int, int]] = {}
        self._raised: Dict[Tuple[str, str], float] = {}

    def look(self, calls: Sequence[Json], thresholds: Alerts) -> List[Alert]:
        """Return the alerts that begin or end with these calls, as the admin socket lists them."""
        peers = self._legs(calls)
        found: List[Alert] = []
        for name in {*peers, *(peer for peer, _ in self._raised)}:
            figures = dict(_figures(peers.get(name, [])))
            for figure, limit in vars(thresholds).items():
                if figure in UNITS:
                    found.extend(self._judge(name, figure, figures.get(figure), limit))
        return sorted(found)

    @property
    def raised(self) -> List[Json]:
        """The alerts that last, as the admin socket's ``status`` lists them."""
        return [{"peer": peer, "figure": figure} for peer, figure in sorted(self._raised)]

    def _judge(self, peer: str, figure: str, now: Optional[Figure], limit: float) -> Iterator[Alert]:
        key = (peer, figure)
        if now is not None and limit and now.value >= limit and key not in self._raised:
            self._raised[key] = limit
            yield Alert("raised", peer, figure, now.value, limit, now.call)
        elif key in self._raised and (now is None or not limit or now.value < limit * CLEARED_BELOW):
            # A peer without calls has nothing that could be bad.
            old = self._raised.pop(key)
            yield Alert("cleared", peer, figure, now.value if now else 0.0, limit or old, "")

    def _legs(self, calls: Sequence[Json]) -> Dict[str, List[_Leg]]:
        after: Dict[Tuple[str, int, str], Tuple[int, int]] = {}
        peers: Dict[str, List[_Leg]] = {}
        for call in calls:
            for leg in call["legs"]:
                key = (f"{call['call-id']} {call['to-tag']}", leg["stream"], leg["side"])
                counted = int(leg.get("expected") or 0), int(leg.get("lost") or 0)
                after[key] = counted
                expected, lost = self._before.get(key, (0, 0))
                heard = counted[0] - expected
                if heard > 0:
                    jitter = float(leg.get("jitter_ms") or 0.0)
                    made = _Leg(call["call-id"], heard, max(0, counted[1] - lost), jitter, latency(leg))
                    peers.setdefault(leg["name"], []).append(made)
        self._before = after
        return peers


def latency(leg: Json) -> Optional[float]:
    """Return the one-way delay of a leg in ms: half its round trip and its playout delay; None where unknown."""
    rtt = leg.get("rtt_ms")
    return None if rtt is None else float(rtt) / 2 + float(leg.get("playout_ms") or 0.0)


def _figures(legs: List[_Leg]) -> Iterator[Tuple[str, Figure]]:
    """Yield loss over all packets of a peer in percent, and its legs' mean jitter and latency in ms."""
    expected = sum(leg.expected for leg in legs)
    if expected >= FEWEST_PACKETS:
        worst = max(legs, key=lambda leg: leg.lost / leg.expected)
        yield "loss", Figure(100.0 * sum(leg.lost for leg in legs) / expected, worst.call)
        jittery = max(legs, key=lambda leg: leg.jitter)
        yield "jitter", Figure(sum(leg.jitter for leg in legs) / len(legs), jittery.call)
    known = [(leg.latency, leg.call) for leg in legs if leg.latency is not None]
    if known:
        yield "latency", Figure(sum(value for value, _ in known) / len(known), max(known)[1])
