"""Real packets against everything that is not SIP: media, management, established flows, ICMP, the rest."""

from __future__ import annotations

import socket

import pytest
from packet_lab import ADMIN, NODE, PEER
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw
from site_samples import firewall, node, relay, site

from vosctl.compile.site import compile_site
from vosctl.site.model import PortRange, Unmatched

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ip6tables", "ipset", "conntrack")]

families = pytest.mark.parametrize("family", [4, 6])
RTP = bytes.fromhex("80080001000000a012345678") + b"\xd5" * 160


def compiled(**changes):
    settings = {"relay": relay(NODE[4], NODE[6]), **changes}
    return compile_site(site(node("edge-a", NODE[4], **settings)), release=None)["edge-a"]


@families
@pytest.mark.parametrize("port", [16384, 20000, 32767])
def test_media_reaches_the_relay_from_anywhere_and_is_not_tracked(lab, family, port):
    stranger = lab.strangers(family)[0]
    listener = lab.listener(family, port)
    sender = lab.send(family, RTP, stranger, port=port)
    payload, origin = listener.recvfrom(65536)
    assert payload == RTP
    with lab.socket(lab.node, family, socket.SOCK_DGRAM) as relay_socket:
        relay_socket.bind((NODE[family], port ^ 1))
        relay_socket.sendto(RTP, origin)
        assert sender.recv(65536) == RTP
    listed = lab.in_node("conntrack", "-L", "-f", f"ipv{family}", "-p", "udp").stdout
    assert stranger not in listed


@families
@pytest.mark.parametrize("port", [16383, 32768])
def test_ports_beside_the_media_range_are_closed(lab, family, port):
    assert lab.misses(family, port, RTP)


@families
@pytest.mark.parametrize("port", [22, 80, 8080, 9100])
def test_management_is_for_administrators(lab, family, port):
    assert lab.connects(family, ADMIN[family], port)
    assert lab.shuts_out(family, lab.strangers(family)[0], port)
    assert lab.shuts_out(family, PEER[family], port)


@families
def test_other_services_are_for_administrators_unless_the_host_decides(lab, family):
    stranger = lab.strangers(family)[0]
    assert lab.connects(family, ADMIN[family], 5432)
    assert lab.shuts_out(family, stranger, 5432)
    assert lab.misses(family, 1194, b"hello")
    lab.use(compiled(firewall=firewall(default=Unmatched.RETURN)))
    assert lab.connects(family, stranger, 5432)
    assert lab.reaches(family, 1194, b"hello")
    assert lab.shuts_out(family, stranger, 22)
    assert lab.shuts_out(family, stranger, 5060)


def test_media_ports_of_other_addresses_stay_closed_when_the_host_decides(lab):
    lab.use(
        compiled(
            firewall=firewall(default=Unmatched.RETURN, rtp=PortRange(10000, 40000)),
            relay=relay("10.231.0.9"),
        )
    )
    assert lab.misses(4, 12000, RTP)
    assert lab.reaches(4, 9999, RTP)


@families
def test_what_the_node_began_is_answered(lab, family):
    outside = lab.strangers(family)[0]
    server = lab.udp(lab.world, family, outside, 53)
    client = lab.udp(lab.node, family)
    client.sendto(b"question", (outside, 53))
    _, origin = server.recvfrom(100)
    server.sendto(b"answer", origin)
    assert client.recv(100) == b"answer"


@families
def test_loopback_is_free(lab, family):
    server = lab.listener(family, 2223)
    client = lab.udp(lab.node, family)
    client.sendto(b"ping", ("127.0.0.1" if family == 4 else "::1", 2223))
    assert server.recv(100) == b"ping"


@families
def test_relay_control_elsewhere_than_loopback_is_for_administrators(lab, family):
    assert lab.misses(family, 2223, b"1_1 d7:command4:pinge")
    where = relay(NODE[4], NODE[6], ng=(type(relay(NODE[family]).addresses[0])(NODE[family]), 2223))
    lab.use(compiled(relay=where, firewall=firewall(default=Unmatched.RETURN)))
    assert lab.reaches(family, 2223, b"1_1 d7:command4:pinge", ADMIN[family])
    assert lab.misses(family, 2223, b"1_1 d7:command4:pinge")


def counted(lab, family, purpose, packets):
    """Return by how much the rule's counter moved."""
    key = next(key for key in lab.counters(family) if key[1] == f"firewall.enabled: {purpose}")
    before = lab.counters(family)[key]
    lab.raw([bytes(each) for each in packets], family)
    lab.delivered(family, lab.listener(family))
    return lab.counters(family)[key] - before


def test_path_mtu_errors_for_untracked_media_pass(lab):
    router, inner = lab.strangers(4)[0], IP(src=NODE[4], dst="198.18.0.9") / UDP(sport=20000, dport=4000)
    error = IP(src=router, dst=NODE[4]) / ICMP(type=3, code=4, nexthopmtu=1280) / inner / Raw(b"x" * 20)
    assert counted(lab, 4, "errors that senders must hear", [error]) == 1
    inner6 = IPv6(src=NODE[6], dst="2001:db8:1::9") / UDP(sport=20000, dport=4000) / Raw(b"x" * 20)
    error6 = IPv6(src=lab.strangers(6)[0], dst=NODE[6]) / ICMPv6PacketTooBig(mtu=1280) / inner6
    assert counted(lab, 6, "errors that senders must hear", [error6]) == 1


@families
def test_pings_pass_at_a_rate(lab, family):
    source = lab.strangers(family)[0]
    echo = (
        IP(src=source, dst=NODE[4]) / ICMP(id=9)
        if family == 4
        else IPv6(src=source, dst=NODE[6]) / ICMPv6EchoRequest()
    )
    assert counted(lab, family, "pings too fast", [echo] * 100) >= 70


def test_redirects_do_not_pass(lab):
    redirect = IP(src=lab.strangers(4)[0], dst=NODE[4]) / ICMP(type=5, code=1, gw="10.231.0.66")
    key = ("VOS-INPUT", "firewall.default: nothing above wanted it")
    before = lab.counters(4)[key]
    lab.raw([bytes(redirect)], 4)
    lab.delivered(4, lab.listener(4))
    assert lab.counters(4)[key] == before + 1


@families
def test_signalling_is_marked_where_its_program_did_not(lab, family):
    level, receive, field = (
        (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS)
        if family == 4
        else (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS)
    )
    proxy = lab.listener(family)
    peer = lab.udp(lab.world, family, PEER[family], 5080)
    peer.setsockopt(level, receive, 1)
    for own, expected in ((0, 24 << 2), (46 << 2, 46 << 2)):
        proxy.setsockopt(level, field, own)
        proxy.sendto(b"INVITE", (PEER[family], 5080))
        _, ancillary, *_ = peer.recvmsg(100, 100)
        assert ancillary[0][2][0] == expected
