"""A soak: packets at half the loss-free rate for 20 minutes; nothing may be lost, nothing may grow.

``python -m bench.relay_soak [MINUTES]`` (``make soak``) prints a line a minute and exits with 1 when it failed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.relay_bed import bed
from bench.relay_setup import resident
from bench.relay_subjects import set_up, vosctl

_RESULTS = Path(__file__).with_name("results.json")
_MINUTES = 20.0
_CALLS = 500
_RATE = 80_000  # packets a second, where no loss-free rate was measured
_STRETCH = 20.0
_GROWTH_KB = 2048  # what an allocator may still take once everything has been in use


def main(minutes: float) -> int:
    """Run for ``minutes`` and return the exit code."""
    rate = _half()
    print(f"{rate} packets a second for {minutes:g} minutes", flush=True)
    with bed() as made, vosctl(made) as subject, made.generator() as generator:
        set_up(subject, generator, _CALLS)
        generator.run(
            rate, _STRETCH
        )  # buffers fill, and control looks after its calls: growth counts from here
        first = resident(subject.pids), _descriptors(subject.pids)
        failed, passed = False, 0.0
        while passed < minutes * 60:
            told = generator.run(rate, _STRETCH)
            passed += told["seconds"]
            grown = resident(subject.pids) - first[0]
            more = _descriptors(subject.pids) - first[1]
            lost = told["sent"] - told["received"]
            failed = failed or lost > 0 or grown > _GROWTH_KB or more > 0
            print(
                f"{passed:6.0f} s  {lost:.0f} of {told['sent']:.0f} lost, memory {grown:+} KB, {more:+} descriptors",
                flush=True,
            )
    return int(failed)


def _half() -> int:
    """Return half the rate that ``make bench ONLY=relay-rate-none`` found."""
    found = json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.exists() else []
    rates = [each["figure"] for each in found if each["name"] == "relay-rate-none"]
    return int(rates[0]) // 2 if rates else _RATE


def _descriptors(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("the soak makes network namespaces: run it as root")
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else _MINUTES))
