"""python-iptables reads what iptables-legacy loaded, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SETUP = """
iptables-legacy -N VOS-INPUT
iptables-legacy -A VOS-INPUT -s 192.0.2.0/24 -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
iptables-legacy -A VOS-INPUT -p udp --dport 5060 -j DROP
iptables-legacy -N OTHER
iptables-legacy -I INPUT -j VOS-INPUT
ip link set lo up
"""
SEND = (
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 72, ('127.0.0.1', 5060))"
)
READ = (
    "import json; from vosctl.push.iptc_reader import read_own_chains; print(json.dumps(read_own_chains()))"
)


@pytest.fixture
def namespace():
    name = f"push{os.getpid()}i"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def run(namespace: str, *command: str) -> str:
    inside = ["ip", "netns", "exec", namespace, *command]
    return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


@pytest.mark.netns
@pytest.mark.requires("iptables-legacy")
def test_own_chains_with_counters(namespace):
    run(namespace, "sh", "-ec", SETUP)
    run(namespace, sys.executable, "-c", SEND)
    found = json.loads(run(namespace, sys.executable, "-c", READ))
    accept, drop = found["4"]["filter"]["VOS-INPUT"]
    assert list(found["4"]) == ["filter"]
    assert list(found["4"]["filter"]) == ["VOS-INPUT"]
    assert (accept["src"], accept["protocol"], accept["tcp"], accept["target"]) == (
        "192.0.2.0/24",
        "tcp",
        {"dport": "22"},
        "ACCEPT",
    )
    assert accept["conntrack"] == {"ctstate": "NEW"}
    assert (drop["target"], drop["packets"], drop["bytes"], accept["packets"]) == ("DROP", 1, 100, 0)


@pytest.mark.netns
def test_looking_makes_no_tables(namespace):
    assert json.loads(run(namespace, sys.executable, "-c", READ)) == {"4": {}, "6": {}}
    for family in ("ip", "ip6"):
        text = run(namespace, "sh", "-c", f"cat /proc/net/{family}_tables_names 2>/dev/null || true")
        assert text == ""
