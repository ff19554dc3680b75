"""The guard against cutting the controller off: what it lets pass, what it refuses, and the kernel's word."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vosctl.compile.desired import Desired, Hook, IpSet, Ruleset
from vosctl.fleet import kernel
from vosctl.plan.lockout import check
from vosctl.plan.observed import SshPath

INPUT = Hook("filter", "INPUT", "VOS-INPUT")
ADMIN = IpSet("vos-admin", "hash:net", 4, ("192.0.2.0/24", "198.51.100.7"), 65536)
INSIDE = SshPath.parse("192.0.2.9 40000 10.0.0.2 22")
OUTSIDE = SshPath.parse("203.0.113.5 40000 10.0.0.2 22")


def node(*rules: str, table: str = "filter", hooks=(INPUT,), sets=(ADMIN,), chains=()) -> Desired:
    names = "".join(f":{name} - [0:0]\n" for name in ("VOS-INPUT", *chains))
    text = f"*{table}\n{names}" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    return Desired("n", (), None, (), sets, (Ruleset(4, text, hooks),), (), ())


MANAGEMENT = (
    "VOS-INPUT -p udp -m udp --dport 5060 -j DROP",
    'VOS-INPUT -p tcp -m tcp --dport 22 -m set --match-set vos-admin src -m comment --comment "x: -j DROP" -j ACCEPT',
    "VOS-INPUT -p tcp -m tcp --dport 22 -j DROP",
)


def test_admins_pass_and_others_are_told_which_rule_drops():
    assert check(node(*MANAGEMENT), INSIDE) == ""
    assert check(node(*MANAGEMENT), SshPath.parse("198.51.100.7 1 10.0.0.2 22")) == ""
    reason = check(node(*MANAGEMENT), OUTSIDE)
    assert "203.0.113.5 to port 22" in reason
    assert "-A VOS-INPUT -p tcp -m tcp --dport 22 -j DROP" in reason
    assert "firewall.admin" in reason


def test_the_rule_that_sends_is_named_where_a_chain_only_drops():
    sends = "VOS-INPUT -p tcp -m tcp --dport 22 -j VOS-DROP-MANAGEMENT"
    refused = node(sends, "VOS-DROP-MANAGEMENT -j DROP", chains=("VOS-DROP-MANAGEMENT",))
    assert f"-A {sends}" in check(refused, OUTSIDE)


def test_established_alone_does_not_help():
    rules = ("VOS-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "VOS-INPUT -j DROP")
    assert check(node(*rules), INSIDE)
    assert (
        check(node("VOS-INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT", "VOS-INPUT -j DROP"), INSIDE)
        == ""
    )


def test_no_ruleset_of_the_family_is_no_danger():
    assert check(node("VOS-INPUT -j DROP"), SshPath.parse("2001:db8::1 1 2001:db8::2 22")) == ""
    assert check(node("VOS-INPUT -j DROP"), SshPath.parse("::ffff:192.0.2.9 1 ::ffff:10.0.0.2 22")) != ""


def test_chains_that_are_not_on_the_way_do_not_count():
    hooks = (Hook("filter", "FORWARD", "VOS-INPUT"), Hook("raw", "FORWARD", "VOS-INPUT"))
    assert check(node("VOS-INPUT -j DROP", hooks=hooks), INSIDE) == ""
    raw = (Hook("raw", "PREROUTING", "VOS-INPUT"),)
    assert check(node("VOS-INPUT -j DROP", table="raw", hooks=raw), INSIDE)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("-p udp -m udp --sport 16384:32767 -j DROP", True),
        ("-p tcp -m multiport --ports 5060,5061 -m dscp --dscp 0x00 -j DSCP --set-dscp 0x18", True),
        ("-p tcp -m tcp --sport 22 -j DROP", False),
        ("-d 192.0.2.0/24 -m conntrack --ctstate ESTABLISHED -j DROP", False),
        ("-m conntrack --ctstate NEW -j DROP", True),
    ],
)
def test_answers_must_get_out(rule, passes):
    assert (
        check(node(f"VOS-INPUT {rule}", hooks=(Hook("filter", "OUTPUT", "VOS-INPUT"),)), INSIDE) == ""
    ) is passes


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("-s 192.0.2.0/24 -j DROP", False),
        ("! -s 192.0.2.0/24 -j DROP", True),
        ("-d 10.0.0.2 -j DROP", False),
        ("-d 10.0.0.3/32 -j DROP", True),
        ("-p tcp -m tcp --dport 22 -j DROP", False),
        ("-p tcp -m tcp --dport 1:21 -j DROP", True),
        ("-p tcp -m tcp ! --dport 22 -j DROP", True),
        ("-p tcp -m multiport --dports 80,20:25 -j DROP", False),
        ("-p tcp -m multiport --dports 80,443 -j DROP", True),
        ("-p udp -j DROP", True),
        ("-p ipv6-icmp -m icmp6 --icmpv6-type 128 -j DROP", True),
        ("-i lo -j DROP", True),
        ("-i eth7 -j DROP", False),
        ("-f -j DROP", True),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", False),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", False),
        ("-p tcp -m tcp --tcp-flags ALL NONE -j DROP", True),
        ("-p tcp -m tcp --tcp-flags SYN,ECE SYN -j DROP", False),
        ("-p tcp -m tcp --tcp-flags ACK ACK -j DROP", False),
        ("-p tcp -m tcp --tcp-flags RST RST -j DROP", True),
        ("-p tcp -m tcp --tcp-flags PSH PSH -j DROP", False),
        ("-m conntrack --ctstate INVALID -j DROP", True),
        ("-m conntrack --ctstate ESTABLISHED -j DROP", False),
        ("-m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable", False),
        ("-m set --match-set vos-admin src -j DROP", False),
        ("-m set ! --match-set vos-admin src -j DROP", True),
        ("-m set --match-set vos-admin dst -j DROP", True),
        ("-m set --match-set vos-admin src,src -j DROP", False),
        ("-m set --match-set vos-unknown src -j DROP", False),
        ("-m hashlimit --hashlimit-above 1/sec --hashlimit-mode srcip --hashlimit-name a -j DROP", False),
        ("-m u32 --u32 0x4>>0x10=0x1 -j DROP", False),
        ("-m u32 --u32 0x0=0x1 -j DROP", True),
        ("-m limit --limit 1/sec -j ACCEPT", True),
        ("-j LOG --log-prefix DROP", True),
        ("-j MARK --set-xmark 0x1/0x1", True),
        ("-j NFQUEUE --queue-num 0", False),
        ("-j VOS-NOT-THERE", False),
        ("-s not-an-address -j DROP", False),
        ("-m string --string -j --algo bm -j DROP", False),
    ],
)
def test_each_match_alone(rule, passes):
    assert (check(node(f"VOS-INPUT {rule}"), INSIDE) == "") is passes


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        (("VOS-INPUT -j VOS-SUB", "VOS-INPUT -j DROP", "VOS-SUB -s 192.0.2.9 -j ACCEPT"), True),
        (
            (
                "VOS-INPUT -j VOS-SUB",
                "VOS-INPUT -j DROP",
                "VOS-SUB -s 192.0.2.9 -j RETURN",
                "VOS-SUB -j ACCEPT",
            ),
            False,
        ),
        (("VOS-INPUT -g VOS-SUB", "VOS-INPUT -j DROP", "VOS-SUB -s 192.0.2.9 -j RETURN"), True),
        (("VOS-INPUT -j VOS-SUB", "VOS-INPUT -j DROP"), False),
        (("VOS-INPUT -m u32 --u32 4=0 -j VOS-SUB", "VOS-INPUT -j ACCEPT", "VOS-SUB -j DROP"), False),
        (("VOS-INPUT -m u32 --u32 4=0 -j VOS-SUB", "VOS-INPUT -j DROP", "VOS-SUB -j ACCEPT"), False),
        (("VOS-INPUT -j VOS-SUB", "VOS-SUB -j VOS-INPUT"), False),
    ],
)
def test_jumps(rules, passes):
    assert (check(node(*rules, chains=("VOS-SUB",)), INSIDE) == "") is passes


def test_taken_out_of_tracking_a_state_is_not_sure():
    text = (
        "*raw\n:VOS-RAW - [0:0]\n-A VOS-RAW -p tcp -j CT --notrack\nCOMMIT\n"
        "*filter\n:VOS-INPUT - [0:0]\n-A VOS-INPUT -m conntrack --ctstate NEW -j ACCEPT\n-A VOS-INPUT -j DROP\nCOMMIT\n"
    )
    hooks = (INPUT, Hook("raw", "PREROUTING", "VOS-RAW"))
    desired = Desired("n", (), None, (), (), (Ruleset(4, text, hooks),), (), ())
    assert check(desired, INSIDE)


def test_text_that_cannot_be_read_is_refused():
    assert "cannot be read" in check(node('VOS-INPUT -m comment --comment "open -j ACCEPT'), INSIDE)


# What the kernel says: whatever the guard lets pass, a real connection must get through.

MATCHES = (
    "-s 10.77.0.0/24", "-s 10.77.0.2", "! -s 10.77.0.2", "-s 10.78.0.0/16", "-d 10.77.0.1", "-d 10.77.0.9",
    "-p tcp", "-p udp", "-p tcp -m tcp --dport 2222", "-p tcp -m tcp --dport 1:100", "-p tcp -m tcp ! --dport 22",
    "-p tcp -m multiport --dports 22,2222", "-i lo", "! -i lo", "-f", "-p tcp -m tcp --syn",
    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
    "-p tcp -m tcp --tcp-flags ALL NONE", "-m conntrack --ctstate NEW", "-m conntrack --ctstate ESTABLISHED",
    "-m conntrack --ctstate INVALID", "-m conntrack ! --ctstate NEW", "-m set --match-set vos-a src",
    "-m set ! --match-set vos-a src", "-m set --match-set vos-b src", "-m set --match-set vos-a dst", "",
)  # fmt: skip
SETS = (
    IpSet("vos-a", "hash:net", 4, ("10.77.0.0/30",), 64),
    IpSet("vos-b", "hash:ip", 4, ("10.77.0.3",), 64),
)
CHAINS = ("VOS-INPUT", "VOS-1", "VOS-2")


def random_node(dice: random.Random) -> Desired:
    rules = []
    for index, chain in enumerate(CHAINS):
        below = CHAINS[index + 1 :]
        for _ in range(dice.randint(0, 4)):
            target = dice.choice(
                ["-j ACCEPT", "-j DROP", "-j RETURN", *(f"-{dice.choice('jg')} {name}" for name in below)]
            )
            rules.append(" ".join(filter(None, (chain, dice.choice(MATCHES), target))))
    return node(*rules, sets=SETS, chains=CHAINS[1:])


@pytest.fixture
def link() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable: 10.77.0.2 is the controller, 10.77.0.1 the node."""
    controller, host = f"push{os.getpid()}c", f"push{os.getpid()}n"
    script = f"""
        ip netns add {controller}; ip netns add {host}
        ip link add c0 netns {controller} type veth peer name n0 netns {host}
        ip -n {controller} addr add 10.77.0.2/24 dev c0; ip -n {controller} link set c0 up
        ip -n {host} addr add 10.77.0.1/24 dev n0; ip -n {host} link set n0 up; ip -n {host} link set lo up
        ip netns exec {host} ipset restore <<END
create vos-a hash:net
add vos-a 10.77.0.0/30
create vos-b hash:ip
add vos-b 10.77.0.3
END
        ip netns exec {host} iptables -N VOS-INPUT; ip netns exec {host} iptables -I INPUT -j VOS-INPUT
    """
    try:
        subprocess.run(["sh", "-e", "-c", script], check=True, capture_output=True)
        yield controller, host
    finally:
        for name in (controller, host):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.netns
def test_what_passes_the_guard_passes_the_kernel(link):
    controller, host = link
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    path = SshPath.parse("10.77.0.2 40000 10.77.0.1 2222")
    listener = inside(host, socket.socket)
    listener.bind(("10.77.0.1", 2222))
    listener.listen(64)
    listener.settimeout(2)
    passed = 0
    with listener:
        for desired in (random_node(dice) for _ in range(2000)):
            if check(desired, path) != "":
                continue
            passed += 1
            if passed > 60:
                break
            rules = desired.rulesets[0].text
            load = ["ip", "netns", "exec", host, "iptables-restore", "--noflush"]
            subprocess.run(load, input=rules, text=True, check=True, capture_output=True)
            client = inside(controller, socket.socket)
            with client:
                client.settimeout(2)
                client.connect(("10.77.0.1", 2222))
                server = listener.accept()[0]
                with server:
                    client.sendall(b"through")
                    server.settimeout(2)
                    assert server.recv(16) == b"through"
    assert passed > 60


def inside(name: str, make):
    """Call ``make`` on the namespace's network."""

    def enter():
        with Path("/run/netns", name).open("rb") as namespace:
            kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
        return make()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(enter).result()
