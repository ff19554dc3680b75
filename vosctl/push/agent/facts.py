"""Facts about the node that a person or a plan may want to know."""

from __future__ import annotations

import os
import sys

from vosctl.push.agent import accounts, dataplane, packages, sysctls, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vosctl.push.agent.firewall import Firewall
    from vosctl.push.agent.node import Node


def gather(node: Node, firewall: Firewall, wanted_packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the node's facts, and under ``can`` what it can be given, each with the reason why not."""
    system = os.uname()
    kernel = firewall.kernel
    return {
        "hostname": system.nodename,
        "kernel": system.release,
        "os": _distribution(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "arch": system.machine,
        "root": node.root or None,
        "systemd": node.has_systemd,
        "iptables": {"backend": kernel and kernel.backend, "version": kernel and kernel.version},
        "container": sysctls.in_container(),
        "can": {
            "packages": packages.able(node),
            "accounts": accounts.able(node),
            "users": users.able(node),
            "compile": dataplane.can_compile(),
            "firewall": _can_firewall(node, firewall, wanted_packages),
            "sysctl": _can_sysctl(node),
        },
    }


def _distribution() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as stream:
            pairs = dict(line.rstrip("\n").partition("=")[::2] for line in stream)
    except OSError:
        return ""
    return pairs.get("PRETTY_NAME", "").strip("\"'")


def _can_firewall(node: Node, firewall: Firewall, wanted_packages: Sequence[str]) -> tuple[bool, str]:
    if firewall.kernel is not None:
        return True, ""
    installable = node.is_machine and packages.able(node)[0] and "iptables" in wanted_packages
    if installable and not packages.observe(["iptables"])["iptables"]:
        return True, ""
    return False, firewall.reason


def _can_sysctl(node: Node) -> tuple[bool, str]:
    if not node.is_machine:
        return False, "node is a directory"
    return (True, "") if os.geteuid() == 0 else (False, "writing settings needs root: set become: true")
