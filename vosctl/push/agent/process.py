"""Processes by identity: a pid alone may mean another process a moment later, with its start time it cannot."""

from __future__ import annotations

import contextlib
import os
import signal
import time


def started(pid: int) -> int | None:
    """Return a process' start time in clock ticks since boot (proc(5)), None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def alive(pid: int, start: int | None) -> bool:
    """Return whether the very process ``pid`` that began at ``start`` still runs."""
    return start is not None and started(pid) == start


def handles(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal (proc(5), SigCgt)."""
    try:
        with open(f"/proc/{pid}/status", "rb") as stream:
            masks = [line.split()[1] for line in stream if line.startswith(b"SigCgt:")]
    except OSError:
        return False
    return bool(masks) and bool(int(masks[0], 16) >> (number - 1) & 1)


def user(pid: int) -> int | None:
    """Return the effective user id of a process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as stream:
            return next(int(line.split()[2]) for line in stream if line.startswith(b"Uid:"))
    except (OSError, StopIteration):
        return None


def command_line(pid: int) -> list[str]:
    """Return a process' arguments, [] when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def same_namespaces(pid: int) -> bool:
    """Return whether a process lives in this one's network and mount namespaces."""
    try:
        return all(
            os.stat(f"/proc/{pid}/ns/{kind}").st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino
            for kind in ("net", "mnt")
        )
    except OSError:
        return False


def send(pid: int, start: int, number: int) -> bool:
    """Signal the process ``pid`` that began at ``start``; return False when it is not there any more."""
    try:
        handle = os.pidfd_open(pid)
    except AttributeError:
        return _send_by_pid(pid, start, number)
    except OSError as error:
        return error.errno == 38 and _send_by_pid(pid, start, number)
    try:
        if not alive(pid, start):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _send_by_pid(pid: int, start: int, number: int) -> bool:
    if not alive(pid, start):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def wait_end(pid: int, start: int, seconds: float) -> bool:
    """Wait until a process ended; return False when it still runs after ``seconds``."""
    until = time.monotonic() + seconds
    while alive(pid, start):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def myself() -> tuple[int, int]:
    """Return this process' pid and start time."""
    pid = os.getpid()
    return pid, started(pid) or 0
