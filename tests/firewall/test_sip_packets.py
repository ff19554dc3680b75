"""Real packets against the SIP rules in the kernel: what scanners try, what peers may do, what is metered."""

from __future__ import annotations

import re
import time

import pytest
from packet_lab import ADMIN, NODE, PEER
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, fragment6
from scapy.packet import Raw
from sip_messages import GENUINE, SCANS, request
from site_samples import firewall, gateway, node, site

from vosctl.compile.site import compile_site
from vosctl.site.model import Auth, Budget

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ip6tables", "ipset")]

families = pytest.mark.parametrize("family", [4, 6])


def dropped_by(lab, family, before):
    """Return the (chain, comment) of dropping rules whose counter moved."""
    after = lab.counters(family)
    quiet = ("within budget", "peers known by address may send anything")
    return {
        key
        for key, packets in after.items()
        if packets > before.get(key, 0) and key[0] == "VOS-SIGNATURES" and not key[1].endswith(quiet)
    }


@families
@pytest.mark.parametrize("name", SCANS)
def test_scan_is_dropped_and_counted(lab, family, name):
    listener, before = lab.listener(family), lab.counters(family)
    lab.send(family, SCANS[name])
    assert lab.delivered(family, listener) == []
    assert len(dropped_by(lab, family, before)) == 1


@families
@pytest.mark.parametrize("name", GENUINE)
def test_genuine_stranger_passes(lab, family, name):
    listener = lab.listener(family)
    lab.send(family, GENUINE[name])
    assert lab.delivered(family, listener) == [GENUINE[name]]


def packet(lab, family, payload):
    source = lab.strangers(family)[0]
    udp = UDP(sport=5060, dport=5060) / Raw(payload)
    return (IP(src=source, dst=NODE[4]) if family == 4 else IPv6(src=source, dst=NODE[6])), udp


@families
def test_fragments_do_not_hide_a_probe(lab, family):
    listener, before = lab.listener(family), lab.counters(family)
    header, udp = packet(lab, family, SCANS["options"])
    if family == 4:
        parts = fragment(header / udp, fragsize=16)  # the first ends behind "OPTIONS "
    else:
        whole = header / IPv6ExtHdrFragment(id=7) / udp
        parts = fragment6(whole, 64)
    assert len(parts) > 3
    lab.raw([bytes(part) for part in parts], family)
    assert lab.delivered(family, listener) == []
    assert len(dropped_by(lab, family, before)) == 1


@families
def test_fragments_of_a_genuine_request_pass(lab, family):
    listener = lab.listener(family)
    header, udp = packet(lab, family, GENUINE["register"])
    parts = (
        fragment(header / udp, fragsize=16)
        if family == 4
        else fragment6(header / IPv6ExtHdrFragment(id=8) / udp, 64)
    )
    lab.raw([bytes(part) for part in parts], family)
    assert lab.delivered(family, listener) == [GENUINE["register"]]


@families
@pytest.mark.parametrize("payload", [SCANS["options"], GENUINE["register"]])
def test_headers_that_move_the_payload_are_refused(lab, family, payload):
    listener, before = lab.listener(family), lab.counters(family)
    header, udp = packet(lab, family, payload)
    if family == 4:
        header.options = [IPOption_NOP()] * 8
    else:
        header /= IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)])
    lab.raw([bytes(header / udp)], family)
    assert lab.delivered(family, listener) == []
    assert len(dropped_by(lab, family, before)) == 1


@families
def test_peer_may_send_anything_and_any_amount(lab, family):
    listener = lab.listener(family)
    sender = lab.udp(lab.world, family, PEER[family])
    payloads = [*SCANS.values(), *[request("INVITE")] * 300]
    for payload in payloads:
        sender.sendto(payload, (NODE[family], 5060))
    assert lab.delivered(family, listener) == payloads


def test_peer_by_port_is_known_on_that_port_alone(lab):
    listener = lab.listener(4)
    lab.send(4, SCANS["options"], "203.0.113.20", source_port=5080)
    lab.send(4, SCANS["sipsak"], "203.0.113.20", source_port=5081)
    assert lab.delivered(4, listener) == [SCANS["options"]]


def test_far_end_of_a_trunk_is_a_peer(lab):
    listener = lab.listener(4)
    header = IP(src="10.231.0.3", dst=NODE[4])
    lab.raw([bytes(header / UDP(sport=5060, dport=5060) / Raw(SCANS["options"]))], 4)
    assert lab.delivered(4, listener) == [SCANS["options"]]


@families
def test_brute_force_is_metered_behind_a_reply(lab, family):
    """A 401 makes the flow ESTABLISHED; a filter behind that rule would see nothing of what follows."""
    listener = lab.listener(family)
    attacker = lab.send(family, request(), lab.strangers(family)[0])
    _, origin = listener.recvfrom(65536)
    listener.sendto(b"SIP/2.0 401 Unauthorized\r\n\r\n", origin)
    assert attacker.recv(100).startswith(b"SIP/2.0 401")
    flows = lab.in_node("conntrack", "-L", "-f", f"ipv{family}", "-p", "udp", "-s", origin[0]).stdout
    assert flows.count("src=") == 2
    assert "UNREPLIED" not in flows
    for _ in range(300):
        attacker.sendto(request(), (NODE[family], 5060))
    budget = Budget(2, 10)
    assert 1 <= len(lab.delivered(family, listener)) <= budget.burst + budget.rate * 2
    for _ in range(50):
        attacker.sendto(SCANS["friendly-scanner"], (NODE[family], 5060))
    assert lab.delivered(family, listener) == []


@families
@pytest.mark.parametrize(("method", "burst"), [("REGISTER", 10), ("INVITE", 20), ("SUBSCRIBE", 60)])
def test_each_method_has_its_own_budget(lab, family, method, burst):
    listener = lab.listener(family)
    source = lab.strangers(family)[0]
    sender = lab.udp(lab.world, family, source)
    for _ in range(burst * 3):
        sender.sendto(request(method), (NODE[family], 5060))
    assert burst <= len(lab.delivered(family, listener)) <= burst * 2
    other = "INVITE" if method == "REGISTER" else "REGISTER"
    sender.sendto(request(other), (NODE[family], 5060))
    assert lab.delivered(family, listener) == [request(other)]


@families
def test_a_whole_network_has_a_budget_and_others_do_not_suffer(lab, family):
    listener = lab.listener(family)
    began = time.monotonic()
    for source in lab.strangers(family, 40):
        for _ in range(8):  # each within its own 10, together four times what the network may send
            lab.send(family, request(), source)
    passed = len(lab.delivered(family, listener))
    assert 80 <= passed <= 80 + 16 * (time.monotonic() - began) + 1  # the burst, and what time refilled
    assert passed < 320
    lab.send(family, GENUINE["cisco"])
    assert lab.delivered(family, listener) == [GENUINE["cisco"]]


def test_one_flooding_address_leaves_its_network_its_share(lab):
    listener = lab.listener(4)
    loud, quiet = lab.strangers(4, 2)
    sender = lab.udp(lab.world, 4, loud)
    for _ in range(500):
        sender.sendto(request(), (NODE[4], 5060))
    lab.delivered(4, listener)
    lab.send(4, GENUINE["cisco"], quiet)
    assert lab.delivered(4, listener) == [GENUINE["cisco"]]


def spoofed(payload, count, step, start=0x0B000000):
    """Yield packets of so many sources, ``step`` addresses apart from the first one."""
    packet = bytearray(
        bytes(IP(src="11.0.0.0", dst=NODE[4]) / UDP(sport=9, dport=5060, chksum=0) / Raw(payload))
    )
    for number in range(count):
        packet[12:16] = (start + number * step).to_bytes(4, "big")
        packet[10:12] = b"\0\0"
        total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        packet[10:12] = (0xFFFF - (total & 0xFFFF) - (total >> 16)).to_bytes(2, "big")
        yield bytes(packet)


def test_more_sources_than_the_default_table_holds_lock_nobody_out(lab):
    """The kernel drops every new source while a table is full; its own default is 65,536 of them."""
    slow = Budget(1, 40)  # remembered for 41 seconds
    lab.load(edge(budgets=dict.fromkeys(("REGISTER", "INVITE", "OPTIONS", "other"), slow)))
    listener = lab.listener(4)
    for part in range(5):
        lab.raw(spoofed(request(), 15_000, 257, 0x0B000000 + part * 15_000 * 257), 4)
        time.sleep(0.5)
    table = next(name for name in re.findall(r"vos-reg\w+", lab.saved(4)))
    listed = lab.in_node("sh", "-c", f"wc -l < /proc/net/ipt_hashlimit/{table}").stdout
    assert int(listed) > 66_000
    listener.close()
    listener = lab.listener(4)
    lab.send(4, GENUINE["cisco"])
    assert lab.delivered(4, listener) == [GENUINE["cisco"]]


def test_a_flood_of_sources_stays_below_what_the_tables_hold(lab):
    """Half of 6,000 connections are for strangers: 100 a second, whoever they say they are."""
    lab.load(edge(sysctl={"net.netfilter.nf_conntrack_max": "6000"}))
    listener = lab.listener(4)
    device = lab.udp(lab.world, 4, "198.18.240.7", 5066)
    device.sendto(request("REGISTER"), (NODE[4], 5060))
    _, origin = listener.recvfrom(65536)
    listener.sendto(b"SIP/2.0 200 OK\r\nCSeq: 2 REGISTER\r\n\r\n", origin)
    began = time.monotonic()
    lab.raw(spoofed(request(), 20_000, 257), 4)
    device.sendto(request("INVITE"), (NODE[4], 5060))
    passed = lab.delivered(4, listener)
    assert passed[-1] == request("INVITE")  # a device that registered does not share the strangers' room
    assert len(passed) <= 100 + 101 * (time.monotonic() - began) + 2
    dropped = [packets for (chain, _), packets in lab.counters(4).items() if chain == "VOS-DROP-FLOOD"]
    assert max(dropped) > 10_000


def edge(**changes):
    gateways = changes.pop("gateways", (gateway("cube", auth=Auth.PASSWORD),))
    sysctl = changes.pop("sysctl", {})
    made = node("edge-a", NODE[4], gateways, firewall=firewall(**changes), sysctl=sysctl)
    return compile_site(site(made), release=None)["edge-a"]


def test_a_changed_budget_holds_at_once(lab):
    """The kernel goes on with the old parameters of a table whose name stays."""
    budgets = {name: Budget(1, 5) for name in ("REGISTER", "INVITE", "OPTIONS", "other")}
    lab.load(edge(budgets=budgets))
    listener = lab.listener(4)
    sender = lab.udp(lab.world, 4, lab.strangers(4)[0])
    for size, most in ((5, 8), (50, 60)):
        lab.load(edge(budgets={name: Budget(size, size) for name in budgets}))
        for _ in range(200):
            sender.sendto(request(), (NODE[4], 5060))
        assert size <= len(lab.delivered(4, listener)) <= most


@families
def test_without_password_gateways_no_stranger_gets_in(lab, family):
    lab.use(edge(gateways=(gateway("acme", "203.0.113.10/32", "2001:db8:10::10/128"),)))
    listener = lab.listener(family)
    for payload in (*GENUINE.values(), *SCANS.values()):
        lab.send(family, payload)
    lab.send(family, request("INVITE"), "203.0.113.10" if family == 4 else "2001:db8:10::10")
    assert lab.delivered(family, listener) == [request("INVITE")]


@families
@pytest.mark.parametrize("port", [5060, 5061])
def test_tcp_strangers_are_counted_peers_are_not(lab, family, port):
    assert lab.connects(family, PEER[family], port)
    stranger = lab.strangers(family)[0]
    assert lab.connects(family, stranger, port)
    assert lab.connects(family, ADMIN[family], port)


@families
def test_tcp_connections_of_a_stranger_are_limited(lab, family):
    lab.tcp_listener(family, 5060)
    stranger = lab.strangers(family)[0]
    assert all(lab.connects(family, stranger, 5060) for _ in range(10))
    assert lab.shuts_out(family, stranger, 5060)
    assert all(lab.connects(family, PEER[family], 5060) for _ in range(12))
    assert lab.connects(family, lab.strangers(family)[0], 5060)


@families
def test_tcp_segments_out_of_nowhere_are_dropped(lab, family):
    before = lab.counters(family)
    header, _ = packet(lab, family, b"")
    lab.raw([bytes(header / TCP(sport=4000, dport=5060, flags="A") / Raw(request("OPTIONS")))], family)
    lab.delivered(family, lab.listener(family))
    key = ("VOS-SIP-TCP", "firewall.tcp_connections: a connection begins with SYN")
    assert lab.counters(family)[key] == before[key] + 1


def test_tcp_without_password_gateways_is_for_peers(lab):
    lab.use(edge(gateways=()))
    assert lab.connects(4, PEER[4], 5060)
    assert lab.shuts_out(4, lab.strangers(4)[0], 5060)
