"""Counts since the control process began: calls begun, refused and ended, and what ended calls had counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Tuple

from vosctl.relay.control.calls import Branch
from vosctl.relay.control.legs import SIDES

Json = Dict[str, Any]

# What a leg counts and the metrics add up, by gateway or trunk.
SUMS = (
    *(
        "packets",
        "bytes",
        "sent",
        "dropped",
        "malformed",
        "lost",
        "expected",
        "duplicate",
        "reordered",
        "late",
        "unauthentic",
    ),
    *("rtcp_packets", "send_errors"),
)


class Tally:
    """The counters. ``traffic`` maps a gateway's or trunk's name ("" without one) to its legs' sums."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.refused: Counter[Tuple[str, str]] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.alerts: Counter[Tuple[str, str]] = Counter()
        self.traffic: Dict[str, Counter[str]] = {}

    def begin(self, branch: Branch) -> None:
        """Count a call that was let in, at each of its gateways and trunks."""
        for name in branch.names or {""}:
            self.begun[name] += 1

    def refuse(self, branch: Branch, limit: str) -> None:
        """Count a call that was not let in because of ``limit``."""
        self.refused.update((name, limit) for name in branch.names or {""})

    def totals(self) -> Dict[str, int]:
        """Return what all gateways and trunks counted together: calls, and the packets of calls that ended."""
        return {
            "begun": sum(self.begun.values()),
            "refused": sum(self.refused.values()),
            "mismatches": sum(self.mismatches.values()),
            "lost": sum(sums["lost"] for sums in self.traffic.values()),
            "expected": sum(sums["expected"] for sums in self.traffic.values()),
        }

    def add(self, branch: Branch, streams: List[Json]) -> None:
        """Add what the streams of an ended branch counted."""
        add_up(self.traffic, branch, streams)


def add_up(sums: Dict[str, "Counter[str]"], branch: Branch, streams: List[Json]) -> None:
    """Add the counters of the branch's legs to those of their parties."""
    for stream in streams:
        for at, side in enumerate(SIDES):
            total = sums.setdefault(branch.parties[at].name, Counter())
            leg = stream[side]
            for name in SUMS:
                value = leg.get(name)
                if value and value > 0:
                    total[name] += value
