"""Runs commands one after the other and says what each took; what they leave behind stays its child, and is counted.

``python -I -S push_home.py LOG``, orders as lines of JSON on standard input: ``{"run": [...], "environment": {...}}``
runs a command with its output in LOG and answers with its seconds of wall and CPU time, the most memory it held (KiB),
its exit code, and what the processes left behind hold (KiB, proportional). ``{"end": true}`` ends those.

Processes that a command leaves, such as ssh's ControlPersist masters, are adopted (PR_SET_CHILD_SUBREAPER). A command's
CPU time is its own, that of its descendants, and what those of commands before it spent in the meantime.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SUBREAPER = 36


def main(log: str) -> None:
    """Answer every order."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_run(order, log) if "run" in order else _end()), flush=True)


def _run(order: dict[str, Any], log: str) -> dict[str, float]:
    before = _cpu()
    with Path(log).open("wb") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            order["run"], stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=order["environment"], start_new_session=True
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = _cpu() - before
    held = sum(map(_memory, _children()))
    return {"wall": wall, "cpu": cpu, "memory": usage.ru_maxrss, "status": process.returncode, "held": held}


def _end() -> dict[str, float]:
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGTERM)
        _reap(0)
    return {}


def _cpu() -> float:
    """Return the CPU time of all descendants until now: of those that were reaped, and of those that live."""
    _reap(os.WNOHANG)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + sum(map(_spent, _children()))


def _reap(how: int) -> None:
    try:
        while os.waitpid(-1, how)[0]:
            pass
    except ChildProcessError:
        return


def _children() -> list[int]:
    me = os.getpid()
    return [int(word) for word in Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii").split()]


def _spent(pid: int) -> float:
    """Return a process's own CPU time in seconds: it has no children (/proc/PID/schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except OSError:
        return 0.0


def _memory(pid: int) -> int:
    """Return what a process holds, its share of what it shares with others, in KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main(sys.argv[1])
