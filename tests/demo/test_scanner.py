"""Counters are read from what iptables prints, and a burst is judged by what the proxy's port saw."""

from __future__ import annotations

import pytest

from vosctl.demo import scanner
from vosctl.demo.ground import FleetGround
from vosctl.fleet import HostSpec

LISTING = """\
Chain INPUT (policy ACCEPT 0 packets, 0 bytes)
    pkts      bytes target     prot opt in     out     source               destination
      12      720 VOS-INPUT  0    --  *      *       0.0.0.0/0            0.0.0.0/0
       3      720 DROP       0    --  *      *       192.0.2.1            0.0.0.0/0

Chain VOS-INPUT (1 references)
    pkts      bytes target     prot opt in     out     source               destination
     200    80000 DROP       17   --  *      *       0.0.0.0/0            0.0.0.0/0            STRING match "x" /* scanner: x */
       7       70 DROP       0    --  *      *       0.0.0.0/0            0.0.0.0/0            ctstate INVALID
       1       70 ACCEPT     0    --  *      *       0.0.0.0/0            0.0.0.0/0
"""


def test_only_own_dropping_rules_count():
    assert scanner.parse("filter", LISTING) == [
        scanner.Counter("filter", "VOS-INPUT", "scanner: x", 200),
        scanner.Counter("filter", "VOS-INPUT", "ctstate INVALID", 7),
    ]


@pytest.mark.netns
def test_what_reaches_the_proxy_is_told_apart(make_fleet):
    fleet = make_fleet(
        HostSpec("edge-a", "10.231.0.2", sshd=False), HostSpec("attacker", "10.231.0.12", sshd=False)
    )
    for rule in (
        ("-N", "VOS-INPUT"),
        ("-A", "INPUT", "-j", "VOS-INPUT"),
        ("-A", "VOS-INPUT", "-p", "udp", "-m", "string", "--algo", "bm", "--string", "evil", "-j", "DROP"),
    ):
        fleet.exec("edge-a", ("iptables", *rule))
    bursts = (
        scanner.Burst("bad ones", "attacker", "REGISTER", "evil", 50),
        scanner.Burst("good ones", "attacker", "INVITE", "", 50),
    )
    outcomes = scanner.run(FleetGround(fleet), "edge-a", bursts)
    assert [(outcome.sent, outcome.reached) for outcome in outcomes] == [(50, 0), (50, 50)]
    assert [counter.packets for counter in scanner.counters(fleet, "edge-a")] == [50]
