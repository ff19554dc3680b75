"""System accounts of services: which are there, making those that are not, whole or not at all."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd

from vosctl.push.agent import command
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vosctl.push.agent.node import Node

SECONDS = 60.0
HOME = "/nonexistent"
# The last one is everywhere, and ends a login just as well.
SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
NO_TOOL = "neither useradd and groupadd nor BusyBox's adduser and addgroup are there"
HINT = "install the package passwd (Debian) or shadow-utils (Fedora), or make the user and the group by hand"


def able(node: Node) -> tuple[bool, str]:
    """Return whether accounts can be made here, and why not."""
    if not node.is_machine:
        return False, "node is a directory"
    if os.geteuid() != 0:
        return False, "making an account needs root: set become: true"
    return (True, "") if _tools() else (False, NO_TOOL)


def observe(names: Sequence[str]) -> dict[str, bool]:
    """Return for each account whether its user and the group of the same name are there."""
    return {name: _has_user(name) and _has_group(name) for name in names}


def _has_user(name: str) -> bool:
    try:
        return pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        return False


def _has_group(name: str) -> bool:
    try:
        return grp.getgrnam(name).gr_gid != 0
    except KeyError:
        return False


def make(names: Sequence[str]) -> None:
    """Make what is missing of each account: a system user without shell, home and password, and its group.

    May be repeated, also after it was killed half-way. Raises AgentError, with nothing left of the account
    that could not be made.
    """
    tools = _tools()
    if tools is None:
        raise AgentError(
            "unsupported",
            f"{', '.join(names)}: {NO_TOOL}",
            hint=HINT,
            item=", ".join(names),
            step="accounts",
        )
    for name in names:
        _make(name, tools)


def _make(name: str, tools: _Tools) -> None:
    fresh = not _has_group(name)
    if fresh:
        _run((*tools.group, name), name)
    try:
        if not _has_user(name):
            shell = next((each for each in SHELLS if os.access(each, os.X_OK)), SHELLS[-1])
            _run(tuple(word.format(name=name, home=HOME, shell=shell) for word in tools.user), name)
        if not observe([name])[name]:
            raise _error(name, "it is user or group 0, or the name service does not show it")
    except AgentError:
        if fresh and not _has_user(name):
            with contextlib.suppress(AgentError):
                command.run((*tools.no_group, name), seconds=SECONDS)
        raise


def _run(words: tuple[str, ...], name: str) -> None:
    result = command.run(words, seconds=SECONDS)
    if result.code:
        raise _error(name, result.reason)


def _error(name: str, why: str) -> AgentError:
    return AgentError(
        "io", f"account {name} cannot be made: {why}", hint="make it by hand", item=name, step="accounts"
    )


class _Tools:
    """Commands that make a group, a user in it, and take the group away."""

    def __init__(self, group: tuple[str, ...], user: tuple[str, ...], no_group: tuple[str, ...]) -> None:
        self.group = group
        self.user = user
        self.no_group = no_group


_USERADD = "useradd --system --gid {name} --no-create-home --home-dir {home} --shell {shell} {name}"
_ADDUSER = "adduser -S -D -H -h {home} -s {shell} -G {name} {name}"


def _tools() -> _Tools | None:
    if command.find("useradd") and command.find("groupadd"):
        return _Tools(("groupadd", "--system"), tuple(_USERADD.split()), ("groupdel",))
    # Other programs go by the name of adduser, too; their options differ.
    path = command.find("adduser")
    if path and os.path.basename(os.path.realpath(path)).startswith("busybox"):
        return _Tools(("addgroup", "-S"), tuple(_ADDUSER.split()), ("delgroup",))
    if command.find("busybox") and _has_applets():
        user = ("busybox", *_ADDUSER.split())
        return _Tools(("busybox", "addgroup", "-S"), user, ("busybox", "delgroup"))
    return None


def _has_applets() -> bool:
    applets = command.run(("busybox", "--list")).out.split()
    return "adduser" in applets and "addgroup" in applets
