"""Longest-prefix lookup over all carriers' and places' prefixes of the world, one core, from Python in bulk."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.rates_prefixes import prefixes

NAMES = ("rates-lpm",)

_NUMBERS = 2_000_000
_PEER_NUMBERS = 100_000
_LEAST = 1_000_000

# Processes of their own, pinned to one core: what is loaded is all that they hold.
_OURS = """
import json, os, random, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from vosctl.rates.lookup import Prefixes
lines = open(sys.argv[1]).read().split()
wall = time.perf_counter()
table = Prefixes(lines)
load = time.perf_counter() - wall
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
draw = random.Random(7)
numbers = [draw.choice(lines) + str(draw.randrange(10**6)) for _ in range(int(sys.argv[2]))]
rates = []
for _ in range(5):
    wall, cpu = time.perf_counter(), time.process_time()
    found = table.find(numbers)
    rates.append((len(numbers) / (time.perf_counter() - wall), len(numbers) / (time.process_time() - cpu)))
assert all(number.startswith(table[at]) for number, at in zip(numbers[:1000], found))
print(json.dumps({"rate": max(rates)[0], "cpu": max(rates)[1], "load": load, "peak": peak / 1024,
                  "prefixes": len(table), "native": table._library is not None}))
"""
_DICTIONARIES = """
import json, os, random, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
lines = open(sys.argv[1]).read().split()
lengths = {}
for at, line in enumerate(lines):
    lengths.setdefault(len(line), {})[line] = at
tables = sorted(lengths.items(), reverse=True)
def find(number):
    for length, table in tables:
        at = table.get(number[:length])
        if at is not None:
            return at
    return None
draw = random.Random(7)
numbers = [draw.choice(lines) + str(draw.randrange(10**6)) for _ in range(int(sys.argv[2]))]
rates = []
for _ in range(5):
    wall = time.perf_counter()
    found = [find(number) for number in numbers]
    rates.append(len(numbers) / (time.perf_counter() - wall))
print(json.dumps({"rate": max(rates)}))
"""
_TRIE = """
import json, os, random, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import marisa_trie
lines = open(sys.argv[1]).read().split()
trie = marisa_trie.Trie(lines)
draw = random.Random(7)
numbers = [draw.choice(lines) + str(draw.randrange(10**6)) for _ in range(int(sys.argv[2]))]
rates = []
for _ in range(5):
    wall = time.perf_counter()
    found = [trie.prefixes(number)[-1] for number in numbers]
    rates.append(len(numbers) / (time.perf_counter() - wall))
print(json.dumps({"rate": max(rates)}))
"""


def run(name: str) -> list[dict[str, Any]]:
    """Return lookups a second, seconds to load and megabytes held; raises where the C part was not compiled."""
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        lines = Path(folder) / "prefixes.txt"
        lines.write_text("\n".join(prefixes()), encoding="utf-8")
        ours = _measure(_OURS, lines, _NUMBERS)
        loop = _measure(_DICTIONARIES, lines, _PEER_NUMBERS)
        trie = _measure(_TRIE, lines, _PEER_NUMBERS)
    if not ours["native"]:
        raise RuntimeError("the lookup's C part is not compiled: python -m vosctl.rates.lookup.build")
    figures = [
        ("", ours["rate"], "lookups/s", "dict by length", loop["rate"]),
        ("-trie", ours["rate"], "lookups/s", "marisa-trie", trie["rate"]),
        ("-cpu", ours["cpu"], "lookups/s CPU", "target", _LEAST),
        ("-load", ours["load"], f"s for {ours['prefixes']:,} prefixes", "target", 1.0),
        ("-memory", ours["peak"], "MB at most", "target", 100.0),
    ]
    return [
        {
            "name": f"{name}{suffix}",
            "figure": round(figure) if figure > 1000 else round(figure, 3),
            "unit": unit,
            "peer": peer,
            "peer_figure": round(theirs) if theirs > 1000 else theirs,
            "command": f"make bench ONLY={name}",
        }
        for suffix, figure, unit, peer, theirs in figures
    ]


def _measure(code: str, lines: Path, numbers: int) -> dict[str, Any]:
    command = (sys.executable, "-c", code, str(lines), str(numbers))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
