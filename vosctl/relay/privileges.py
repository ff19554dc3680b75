"""Giving up what the relay does not need: every capability, for good, in it and all that it starts."""

from __future__ import annotations

import ctypes
import logging
import os
from pathlib import Path

LOG = logging.getLogger(__name__)

_LAST = Path("/proc/sys/kernel/cap_last_cap")
_MOST_CAPABILITIES = 64
# prctl(2) and capset(2).
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop() -> None:
    """Leave this process and its children without capabilities, and without a way to new ones.

    It stays root by its number, and so the owner of the key table, but may read and signal only what
    is root's own. Does nothing for another user but close the way to more.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_capabilities()):
        # Who may not drop it has not got it to give to others either.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    none = (_Data * 2)()
    header = _Header(_VERSION_3, 0)
    held = (_Data * 2)()
    libc.capget(ctypes.byref(header), ctypes.byref(held))
    # A unit's system-call filter refuses the call, but has left nothing to drop.
    if any(each.permitted for each in held) and libc.capset(ctypes.byref(header), none):
        LOG.warning("capabilities cannot be dropped: %s", os.strerror(ctypes.get_errno()))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _capabilities() -> int:
    try:
        return int(_LAST.read_text()) + 1
    except (OSError, ValueError):
        return _MOST_CAPABILITIES
