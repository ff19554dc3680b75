"""Giving up what the relay does not need: root's number and every capability, for good, in it and all that it starts."""

from __future__ import annotations

import ctypes
import logging
import os
import pwd
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from vosctl.errors import RelayError

LOG = logging.getLogger(__name__)

_LAST = Path("/proc/sys/kernel/cap_last_cap")
_MOST_CAPABILITIES = 64
# prctl(2) and capset(2).
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Account(NamedTuple):
    """The user that the relay runs as, and its group."""

    name: str
    uid: int
    gid: int


def account(name: str) -> Account:
    """Return the account of that name. Raises ``RelayError`` where there is none, and for root's."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        hint = (
            f"vosctl apply makes it; by hand: useradd --system --user-group --shell /usr/sbin/nologin {name}"
        )
        raise RelayError(f"no user {name} on this node", hint=hint) from None
    if found.pw_uid == 0 or found.pw_gid == 0:
        raise RelayError(
            f"user {name} is root by another name", hint="give it a number and a group of its own"
        )
    return Account(name, found.pw_uid, found.pw_gid)


def drop(user: Optional[Account] = None, *, keep: Sequence[int] = ()) -> None:
    """Become ``user``, and leave this process and its children without capabilities and a way to new ones.

    Of the capabilities that ``keep`` numbers it keeps those that it has, and so do the processes that it starts.
    Without a user it stays who it is; root by its number may then still read and signal what is root's
    own. Raises ``RelayError`` when it may not become the user.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in sorted({*range(_capabilities())} - {*keep}):
        # Who may not drop it has not got it to give to others either.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if user is not None and os.geteuid() != user.uid:
        libc.prctl(_PR_SET_KEEPCAPS, int(bool(keep)), 0, 0, 0)
        _become(user)
    held = _held(libc)
    _hold(libc, [each & mask for each, mask in zip(held, _masks(keep))], held)  # noqa: B905 (Python 3.9)
    for capability in keep:
        # Refused where it is not held: nothing is given to others then.
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def give_up(capabilities: Sequence[int]) -> None:
    """Leave this process, and what it starts from here on, without these capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = _held(libc)
    _hold(libc, [each & ~mask for each, mask in zip(held, _masks(capabilities))], held)  # noqa: B905 (Python 3.9)


def _held(libc: ctypes.CDLL) -> List[int]:
    """Return the permitted capabilities, as two words of 32 bits."""
    found = (_Data * 2)()
    libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(found))
    return [each.permitted for each in found]


def _masks(capabilities: Sequence[int]) -> List[int]:
    every = sum(1 << number for number in set(capabilities))
    return [every & 0xFFFFFFFF, every >> 32]


def _hold(libc: ctypes.CDLL, wanted: List[int], held: List[int]) -> None:
    """Hold ``wanted`` alone; what is not inheritable is not ambient either (capabilities(7))."""
    # A unit's system-call filter refuses the call, but has left nothing to drop.
    if not any(held):
        return
    data = (_Data * 2)(*(_Data(each, each, each) for each in wanted))
    if libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), data):
        LOG.warning("capabilities cannot be dropped: %s", os.strerror(ctypes.get_errno()))


def _become(user: Account) -> None:
    # The way down costs the capabilities that it takes, so it comes after the bounding set.
    try:
        os.setgroups(os.getgrouplist(user.name, user.gid))
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except PermissionError:
        hint = "start it as root with CAP_SETUID and CAP_SETGID, or as that user"
        raise RelayError(f"the relay may not become user {user.name}", hint=hint) from None


def _capabilities() -> int:
    try:
        return int(_LAST.read_text()) + 1
    except (OSError, ValueError):
        return _MOST_CAPABILITIES
