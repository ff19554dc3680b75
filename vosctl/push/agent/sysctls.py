"""Kernel settings under /proc/sys, and which of them are the host's and not this container's."""

from __future__ import annotations

import os

from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

BASE = "/proc/sys"


def place(key: str) -> str:
    """Return the file of a key (sysctl.d(5): a key whose first separator is ``/`` is a path already)."""
    slash, dot = key.find("/"), key.find(".")
    if slash < 0 or (0 <= dot < slash):
        key = key.translate({ord("."): "/", ord("/"): "."})
    return f"{BASE}/{key}"


def read(key: str) -> str | None:
    """Return a setting's value with single spaces, None where this kernel or namespace has none."""
    try:
        with open(place(key), encoding="utf-8") as stream:
            return " ".join(stream.read().split())
    except OSError:
        return None


def write(key: str, value: str) -> None:
    """Write a setting; raises AgentError with what the kernel said."""
    try:
        descriptor = os.open(place(key), os.O_WRONLY)
        try:
            os.write(descriptor, (value + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        hint = "load the module it belongs to (nf_conntrack?), or remove the key" if error.errno == 2 else ""
        raise AgentError(
            "io", f"sysctl {key} = {value}: {error.strerror}", hint=hint, item=key, step="sysctls"
        ) from error


def observe(node: Node, item: dict[str, Any], *, container: bool) -> dict[str, Any]:
    """Return a setting's value, whether it can be written and whether it is held back as the host's."""
    if not node.is_machine:
        return {"value": None, "writable": False, "held": True}
    value = read(item["key"])
    writable = value is not None and os.access(place(item["key"]), os.W_OK)
    held = container and (bool(item.get("host_wide")) or not writable)
    return {"value": value, "writable": writable, "held": held}


def equal(value: str | None, wanted: str) -> bool:
    """Return whether two values mean the same to the kernel."""
    return value is not None and value.split() == wanted.split()


def in_container() -> bool:
    """Return whether host-wide settings belong to somebody else: a container or an own network namespace."""
    # Only the first network namespace shows this one (net/core/sysctl_net_core.c).
    if not os.path.exists(f"{BASE}/net/core/netdev_max_backlog"):
        return True
    if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv", "/run/systemd/container"))):
        return True
    try:
        return os.stat("/proc/1/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return False
