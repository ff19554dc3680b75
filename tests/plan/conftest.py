"""A small node as the site wants it, and the same node as an agent would report it when nothing differs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plan_samples import KEY, RULES, report

from vosctl.compile.desired import Desired, File, Hook, IpSet, Release, Ruleset, Service, Sysctl

sys.path.insert(0, str(Path(__file__).parent.parent / "compile"))


@pytest.fixture
def desired() -> Desired:
    return Desired(
        node="edge-a",
        packages=("iptables", "ipset"),
        release=Release("0.1.0", "ab" * 32, b"archive"),
        files=(
            File("/etc/vosctl/relay.json", b'{\n "node": "edge-a"\n}\n', reload="vosctl-relay"),
            File("/etc/vosctl/relay-keys.json", KEY.encode(), 0o600, secret=True, reload="vosctl-relay"),
            File("/etc/systemd/system/vosctl-relay.service", b"[Service]\n"),
        ),
        sets=(IpSet("vos-admin", "hash:net", 4, ("192.0.2.0/24", "198.51.100.7"), 65536),),
        rulesets=(Ruleset(4, RULES, (Hook("filter", "INPUT", "VOS-INPUT"),)),),
        sysctls=(
            Sysctl("net.core.rmem_max", "33554432", host_wide=True),
            Sysctl("net.ipv4.tcp_rmem", "4096 87380 6291456"),
        ),
        accounts=("vosrelay",),
        services=(Service("vosctl-relay", supervise=("/opt/vosctl/current/bin/vosctl-relay", "supervise")),),
    )


@pytest.fixture
def settled(desired: Desired) -> Callable[[], dict[str, Any]]:
    """Return a function that makes the agent's report of a node that is as the site wants it."""
    return lambda: report(desired)
