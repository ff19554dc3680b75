"""Whose media a real relay takes: the SDP's address, a NAT's, or any; and what strangers get."""

from __future__ import annotations

import pytest
from relay_calls import Phone, g711, target


@pytest.fixture
def relay(nodes, phones):
    node = nodes("edge")
    caller, callee = phones(), phones()
    node.gateway("strict", caller.address)
    node.gateway("roaming", "198.51.100.99", learn="any")
    node.gateway("vendor", callee.address)
    node.start()
    with node.client() as client:
        yield node, client, caller, callee


def legs(node):
    return node.ask("calls")["calls"][0]["legs"]


def call(relay, sdp: str, **keys) -> tuple[str, str]:
    _, client, _, callee = relay
    to_callee = client.offer("c", "f", sdp, **keys)
    to_caller = client.answer("c", "f", "t", callee.sdp(types="8"), vos_to="vendor")
    return to_caller, to_callee


def test_the_sdp_address_and_nobody_else(relay, phones):
    node, _, caller, callee = relay
    to_caller, _ = call(relay, caller.sdp(), received_from=["IP4", caller.address])
    stranger: Phone = phones(caller.address)
    genuine, forged = g711(20, seed=1), g711(20, seed=2)
    for good, bad in zip(genuine, forged, strict=True):
        stranger.send(bad, to_caller)
        caller.send(good, to_caller)
    assert callee.drain(20) == genuine
    assert callee.silent()
    assert legs(node)[0]["dropped"] == 20
    assert stranger.silent()


def test_a_private_address_from_elsewhere_is_a_nat(relay, phones):
    node, _, caller, callee = relay
    to_caller, to_callee = call(relay, caller.sdp(host="192.168.1.5"), received_from=["IP4", caller.address])
    assert (legs(node)[0]["learn"], legs(node)[0]["learned"]) == ("nat", None)
    callee.send(g711(1, seed=9)[0], to_callee)
    stranger = phones()
    for packet in g711(10, seed=2):
        stranger.send(packet, to_caller)
    comfort = g711(10, seed=3, payload_type=13)
    for packet in comfort:
        caller.send(packet, to_caller)
    genuine = g711(10, seed=1)
    for packet in genuine:
        caller.send(packet, to_caller)
    assert callee.drain(10) == genuine
    assert legs(node)[0]["learned"] == [caller.address, caller.port]
    later = phones(caller.address)
    for packet in g711(10, seed=4):
        later.send(packet, to_caller)
    assert callee.silent()
    back = g711(5, seed=5)
    for packet in back:
        callee.send(packet, to_callee)
    assert caller.drain(5) == back
    assert stranger.silent()
    assert later.silent()


@pytest.mark.parametrize(
    ("host", "flags", "learn"),
    [
        ("192.168.1.5", [], "nat"),
        ("192.168.1.5", ["trust-address"], "sdp"),
        ("192.168.1.5", ["trust address"], "sdp"),
        ("198.51.100.5", [], "sdp"),
        ("198.51.100.5", ["SIP-source-address"], "nat"),
        ("198.51.100.5", ["SIP source address"], "nat"),
        (None, [], "sdp"),
    ],
)
def test_the_rule_follows_address_and_flags(relay, host, flags, learn):
    node, _, caller, _ = relay
    call(relay, caller.sdp(host=host), received_from=["IP4", caller.address], flags=flags)
    assert legs(node)[0]["learn"] == learn


def test_an_address_that_the_gateway_names_as_its_own_is_no_nat(relay):
    node, _, caller, callee = relay
    call(relay, caller.sdp(), received_from=["IP4", callee.address], vos_from="strict")
    assert legs(node)[0]["learn"] == "sdp"


def test_a_gateway_may_allow_any_source_after_probation(relay, phones):
    node, _, _, callee = relay
    to_caller, _ = call(relay, phones().sdp(host="192.0.2.1"), vos_from="roaming")
    roamer = phones()
    sent = g711(12, seed=1)
    for packet in sent:
        roamer.send(packet, to_caller)
    got = callee.drain(len(sent) - 4)
    assert got == sent[4:]
    assert legs(node)[0]["learned"] == [roamer.address, roamer.port]


def test_a_reoffer_moves_the_media_and_the_old_place_is_forgotten(relay, phones):
    _, client, caller, callee = relay
    to_caller, _ = call(relay, caller.sdp(), received_from=["IP4", caller.address])
    moved = phones()
    client.offer("c", "f", moved.sdp(), to_tag="t", received_from=["IP4", moved.address])
    assert target(client.answer("c", "f", "t", callee.sdp(types="8"))) == target(to_caller)
    for packet in g711(5, seed=2):
        caller.send(packet, to_caller)
    genuine = g711(5, seed=1)
    for packet in genuine:
        moved.send(packet, to_caller)
    assert callee.drain(5) == genuine
    assert callee.silent()


def test_hold_stops_media_towards_the_holder_and_unhold_brings_it_back(relay):
    _, client, caller, callee = relay
    to_caller, to_callee = call(relay, caller.sdp(), received_from=["IP4", caller.address])
    client.offer("c", "f", caller.sdp("a=sendonly"), to_tag="t")
    client.answer("c", "f", "t", callee.sdp("a=recvonly", types="8"))
    music = g711(5, seed=1)
    for packet in music:
        caller.send(packet, to_caller)
        callee.send(packet, to_callee)
    assert callee.drain(5) == music
    assert caller.silent()
    client.offer("c", "f", caller.sdp(), to_tag="t")
    client.answer("c", "f", "t", callee.sdp(types="8"))
    callee.send(music[0], to_callee)
    assert caller.drain(1) == music[:1]


def test_rtcp_on_the_rtp_port_is_taken_apart_for_the_side_without_mux(relay):
    _, client, caller, callee = relay
    report = bytes([0x80, 201, 0, 1, 0, 0, 0, 7])
    keys = {"received_from": ["IP4", caller.address], "rtcp_mux": ["demux"]}
    client.offer("c", "f", caller.sdp("a=rtcp-mux"), **keys)
    to_caller = client.answer("c", "f", "t", callee.sdp(types="8"))
    caller.send(report, to_caller)
    callee.rtcp.settimeout(5)
    assert callee.rtcp.recv(100) == report
