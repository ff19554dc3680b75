"""Time that a changed clock cannot move: seconds since boot, and which boot it is."""

from __future__ import annotations

import time


def since_boot() -> float:
    """Return seconds since boot, time asleep included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def now() -> int:
    """Return the wall clock, whole seconds of the Unix epoch, for people to read."""
    return int(time.time())
