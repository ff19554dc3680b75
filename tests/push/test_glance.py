"""A node that has not moved answers at a glance, over one connection; whatever moves makes it look again."""

from __future__ import annotations

import time

import pytest
from push_samples import connection, desired_of, options, site_of
from test_push_fleet import FILE, FULL, SCANNERS, SSH, rules

from vosctl.push import api
from vosctl.push.result import Status

# Another text of the same length under the old one's times.
SWAP = (
    "cp -p /etc/vosctl/relay.json /etc/t && sed -i s/edge-a/edge-z/ /etc/t "
    "&& touch -r /etc/vosctl/relay.json /etc/t && mv /etc/t /etc/vosctl/relay.json"
)
pytestmark = pytest.mark.netns


@pytest.fixture
def apply(fleet, there):
    common = {"user": "root", "private_key": fleet.private_key, "known_hosts": fleet.known_hosts}
    site = site_of(edge_a=connection("10.231.0.2", **common))

    def run(desired=FULL, function=api.apply_site):
        return there(function, site, {"edge-a": desired}, options=options())["edge-a"]

    return run


def logins(fleet) -> int:
    return fleet.log("edge-a").count("Accepted publickey")


def settle(fleet, apply) -> None:
    """Bring the node to FULL, let the kernel's clock tick on, and have the answer kept."""
    assert apply().error is None
    time.sleep(0.2)
    assert apply().status is Status.OK
    assert kept(fleet)


def kept(fleet) -> str:
    return fleet.exec("edge-a", ("sh", "-c", "ls /run/vosctl/seen-* 2>/dev/null"), check=False).stdout


def test_one_connection_where_nothing_changes_and_one_more_to_confirm(fleet, apply):
    settle(fleet, apply)
    before = logins(fleet)
    assert apply().status is Status.OK
    assert logins(fleet) == before + 1
    assert apply(desired_of(FILE)).status is Status.CHANGED
    assert logins(fleet) == before + 3


def test_no_agent_starts_where_nothing_moved(fleet, apply):
    settle(fleet, apply)
    # Root's own tools are not asked: any that were would fail.
    hide = "for f in iptables ip6tables ipset; do mv /usr/sbin/$f /usr/sbin/$f.away; done"
    back = "for f in iptables ip6tables ipset; do mv /usr/sbin/$f.away /usr/sbin/$f; done"
    before = fleet.exec("edge-a", ("sh", "-c", "cat /run/vosctl/seen-* | sha256sum")).stdout
    assert apply().status is Status.OK
    assert fleet.exec("edge-a", ("sh", "-c", "cat /run/vosctl/seen-* | sha256sum")).stdout == before
    fleet.exec("edge-a", ("sh", "-c", hide))
    try:  # and a folder that moved is noticed
        assert apply().status is not Status.OK
    finally:
        fleet.exec("edge-a", ("sh", "-c", back))


@pytest.mark.parametrize(
    "move",
    [
        "echo x >> /etc/vosctl/relay.json",
        "chmod 600 /etc/vosctl/relay.json",
        "rm /etc/vosctl/relay.json",
        SWAP,
        "iptables -D VOS-INPUT 3",
        "iptables -F INPUT",
        "ipset add vos-admin 192.0.2.0/24",
        "sysctl -q -w net.ipv4.tcp_keepalive_time=601",
    ],
)
def test_whatever_moves_is_found(fleet, apply, move):
    settle(fleet, apply)
    fleet.exec("edge-a", ("sh", "-c", move))
    found = apply(function=api.plan_site)
    assert found.status is Status.CHANGED, found.error
    assert apply().status is Status.CHANGED


def test_other_wishes_are_not_answered_at_a_glance(fleet, apply):
    settle(fleet, apply)
    other = desired_of(FILE, sets=FULL.sets, rulesets=(rules(SSH, SCANNERS),), sysctls=FULL.sysctls)
    assert apply(other, api.plan_site).status is Status.CHANGED


@pytest.mark.parametrize("breakage", ["truncate -s 9 $f", "chmod 666 $f", "chown 99 $f", "echo x > $f"])
def test_an_answer_that_others_could_have_written_is_not_taken(fleet, apply, breakage):
    settle(fleet, apply)
    fleet.exec("edge-a", ("sh", "-c", f"for f in /run/vosctl/seen-*; do {breakage}; done; echo x >> /etc/vosctl/relay.json"))  # fmt: skip
    assert apply().status is Status.CHANGED
    fleet.exec("edge-a", ("sh", "-c", "rm -f /run/vosctl/seen-*"))
