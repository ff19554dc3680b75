"""Packages of the distribution: which are there, installing those that are not."""

from __future__ import annotations

import os

from vosctl.push.agent import command
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vosctl.push.agent.node import Node

DPKG_STATUS = "/var/lib/dpkg/status"
SECONDS = 600.0
_STALE = ("Unable to locate", "404", "no installation candidate", "Hash Sum mismatch", "unexpected size")


def able(node: Node) -> tuple[bool, str]:
    """Return whether packages can be installed here, and why not."""
    if not node.is_machine:
        return False, "node is a directory"
    if _installer() is None:
        return False, "neither apt-get nor dnf is there"
    if os.geteuid() != 0:
        return False, "installing needs root: set become: true"
    return True, ""


def observe(names: Sequence[str]) -> dict[str, bool]:
    """Return for each package whether it is installed."""
    if not names:
        return {}
    if os.path.exists(DPKG_STATUS):
        return _observe_dpkg(names)
    if command.find("rpm"):
        return {
            name: command.run(("rpm", "-q", "--quiet", "--whatprovides", name)).code == 0 for name in names
        }
    return dict.fromkeys(names, False)


def _observe_dpkg(names: Sequence[str]) -> dict[str, bool]:
    with open(DPKG_STATUS, "rb") as stream:
        status = os.fstat(stream.fileno())
        mark = (tuple(names), status.st_ino, status.st_mtime_ns, status.st_size)
        if mark not in _SEEN:
            text = b"\n" + stream.read()
            _SEEN.clear()
            _SEEN[mark] = {name: _in_dpkg(text, name) for name in names}
    return dict(_SEEN[mark])


_SEEN: dict[Any, dict[str, bool]] = {}  # an apply looks twice


def _in_dpkg(status: bytes, name: str) -> bool:
    # Reading dpkg's own file takes a tenth of the time of dpkg-query.
    head = f"\nPackage: {name.partition(':')[0]}\n".encode()
    start = status.find(head)
    while start >= 0:
        end = status.find(b"\n\n", start)
        if b"\nStatus: install ok installed\n" in status[start : end if end >= 0 else None]:
            return True
        start = status.find(head, start + 1)
    return False


def install(names: Sequence[str]) -> None:
    """Install packages without a question; raises AgentError with what the installer said."""
    program = _installer()
    if program is None:
        raise AgentError(
            "unsupported", f"{', '.join(names)}: neither apt-get nor dnf is there", step="packages"
        )
    if program == "apt-get":
        result = _apt(names)
        if result.code and _broken_off(result):
            command.run(("dpkg", "--force-confold", "--configure", "-a"), seconds=SECONDS, detach=True)
            result = _apt(names)
        if result.code and not _updated(result):
            command.run(("apt-get", "-q", "update"), seconds=SECONDS, detach=True)
            result = _apt(names)
    else:
        result = command.run((program, "-y", "-q", "install", *names), seconds=SECONDS, detach=True)
    missing = [name for name, there in observe(names).items() if not there]
    if result.code or missing:
        what = ", ".join(missing or names)
        hint = f"try on the node: {program} install {' '.join(missing or names)}"
        raise AgentError(
            "io", f"{what} cannot be installed: {result.reason}", hint=hint, item=what, step="packages"
        )


def _apt(names: Sequence[str]) -> command.Result:
    options = (
        "-y",
        "-q",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confold",
        "-o",
        "DPkg::Lock::Timeout=60",
    )
    return command.run(("apt-get", *options, "install", *names), seconds=SECONDS, detach=True)


def _broken_off(result: command.Result) -> bool:
    # dpkg, or the machine, ended in the middle: apt does nothing until what was begun is finished.
    return "dpkg --configure -a" in result.err + result.out


def _updated(result: command.Result) -> bool:
    # Only a package that is unknown, gone or another one than the lists say is a reason to fetch them anew.
    said = result.err + result.out
    return not any(words in said for words in _STALE)


def _installer() -> str | None:
    return next((name for name in ("apt-get", "dnf") if command.find(name)), None)
