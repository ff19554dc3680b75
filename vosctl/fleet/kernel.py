"""The few Linux calls that Python lacks: unshare, setns, mount, through libc."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

_PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this thread into new namespaces (``CLONE_NEW…``); raises OSError (unshare(2))."""
    _check(_LIBC.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move this thread into the namespace behind ``descriptor``; raises OSError (setns(2))."""
    _check(_LIBC.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount; empty texts stand for NULL; raises OSError naming the target (mount(2))."""
    arguments = (source.encode() or None, target.encode(), kind.encode() or None)
    result = _LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount point, at once and when in use too; raises OSError (umount2(2))."""
    _check(_LIBC.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def adopt_orphans(*, adopt: bool = True) -> None:
    """Make this process the parent of every descendant whose own parent ends, or no longer; raises OSError (prctl(2)).

    One that dies keeps its number until this process waits for it or ends, and keeps the PID namespace that it was in.
    """
    _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
