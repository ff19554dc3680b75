"""Who goes first on a node's cores: packets. What runs Python makes room for the threads that relay them."""

from __future__ import annotations

import contextlib
import os

NICE = 5
# linux/sched.h; with it, children begin without the real-time policy.
_RESET_ON_FORK = 0x40000000


def give_way() -> None:
    """Put the calling thread, and the threads and processes that it starts from here on, behind the workers.

    A relay that was started at a real-time priority keeps it for its workers alone: among equals, a thread that
    computes for milliseconds holds packets up for as long. Where the system refuses, all goes on as it was.
    """
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) & ~_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with contextlib.suppress(OSError):
        # Of the thread alone, on Linux.
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
