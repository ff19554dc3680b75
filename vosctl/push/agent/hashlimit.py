"""The kernel's hashlimit tables: which sources have the least of their budget left."""

from __future__ import annotations

import heapq
import itertools
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_FOLDERS = {4: "/proc/net/ipt_hashlimit", 6: "/proc/net/ip6t_hashlimit"}
_OWN = "vos-"
# seconds until the entry is forgotten, source->destination, credit, credit of a full bucket, cost of a packet
_ENTRY = re.compile(r"-?\d+ (\S+):\d+->\S+ (\d+) (\d+) (\d+)")
_MOST_LINES = 100_000


class Table:
    """One table of one family: ``sources`` are (share of the budget that is left from 0 to 1, address)."""

    __slots__ = ("family", "name", "sources")

    def __init__(self, name: str, family: int, sources: list[tuple[float, str]]) -> None:
        self.name = name
        self.family = family
        self.sources = sources

    def record(self, most: int) -> dict[str, Any]:
        """Return the table as JSON can hold it, with the ``most`` sources that have the least left."""
        least = heapq.nsmallest(most, self.sources)
        return {
            "name": self.name,
            "family": self.family,
            "sources": len(self.sources),
            "over": sum(not left for left, _ in self.sources),
            "least": [{"address": address, "left": round(left, 3)} for left, address in least],
        }


def tables() -> list[Table]:
    """Return the own tables as far as they can be read; the first 100,000 sources of each."""
    found = []
    for family, folder in _FOLDERS.items():
        try:
            names = sorted(name for name in os.listdir(folder) if name.startswith(_OWN))
        except OSError:
            continue
        for name in names:
            try:
                with open(f"{folder}/{name}", encoding="ascii") as stream:
                    found.append(Table(name, family, parse(itertools.islice(stream, _MOST_LINES))))
            except OSError:
                continue  # unloaded while it was being read
    return found


def parse(lines: Iterable[str]) -> list[tuple[float, str]]:
    """Return what share of its budget each source has left; less than one packet's worth counts as nothing."""
    found = []
    for line in lines:
        match = _ENTRY.match(line)
        if match is None:
            continue
        address, credit, full, cost = match.group(1), *map(int, match.groups()[1:])
        left = 0.0 if credit < cost or not full else min(1.0, credit / full)
        found.append((left, address))
    return found
