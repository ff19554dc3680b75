"""Faxes over UDPTL (T.38) through real relays: alone, after sound, behind NAT, and not over an encrypted trunk."""

from __future__ import annotations

import struct

import pytest
from relay_calls import Call, Node, Phone, g711, target, until

from vosctl.relay.ng import NgError


def fax(phone: Phone, *lines: str, host: str | None = None) -> str:
    where = host or phone.address
    rows = ["v=0", f"o=- 1 2 IN IP4 {where}", "s=-", f"c=IN IP4 {where}", "t=0 0"]
    return "\r\n".join([*rows, f"m=image {phone.port} udptl t38", "a=T38FaxVersion:0", *lines, ""])


def pages(count: int) -> list[bytes]:
    """UDPTL packets: a sequence number, a primary IFP packet of some bytes, no error recovery."""
    return [struct.pack("!HB", number, 6) + b"\xff\x00page"[:6] + b"\0\0" for number in range(count)]


def send(sender: Phone, receiver: Phone, sdp: str, packets: list[bytes]) -> None:
    receiver.got = []
    for packet in packets:
        sender.send(packet, sdp)
    assert receiver.drain(len(packets), 2.0) == packets


@pytest.fixture
def node(nodes) -> Node:
    node = nodes("edge")
    node.config["recordings"] = str(node.root / "recordings")
    node.start()
    return node


def test_sound_becomes_a_fax_on_the_same_ports_and_sound_again(node, phones):
    caller, callee, stranger = phones(), phones(), phones()
    with node.client() as ng:
        to_callee = ng.offer("c", "f", caller.sdp())
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        send(caller, callee, to_caller, g711(5, seed=1))
        again = ng.offer("c", "f", fax(caller), to_tag="t")
        # Until the answer it is sound.
        send(callee, caller, to_callee, g711(5, seed=2))
        back = ng.answer("c", "f", "t", fax(callee))
        assert (target(again), target(back)) == (target(to_callee), target(to_caller))
        assert "rtcp" not in again + back
        send(caller, callee, back, pages(40))
        send(callee, caller, again, pages(40))
        for packet in pages(10):
            stranger.send(packet, back)
        caller.send(b"x", back)
        legs = until(lambda: _counted(node, dropped=1))
        assert [(leg["codec"], leg["mos"], leg["lost"]) for leg in legs] == [("T38", None, 0)] * 2
        assert callee.silent()
        ng.offer("c", "f", caller.sdp(), to_tag="t")
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        send(caller, callee, to_caller, g711(5, seed=3))
        totals = ng.delete("c", "f")["totals"]["RTP"]
        assert totals["packets"] == 5 + 5 + 40 + 40 + 5


def _counted(node: Node, **least: int) -> list[dict]:
    legs = node.ask("calls")["calls"][0]["legs"]
    return legs if all(legs[0][name] >= value for name, value in least.items()) else []


def test_a_fax_from_behind_nat_is_learned(node, phones):
    caller, callee, stranger = phones(), phones(), phones()
    behind = {"received_from": ["IP4", caller.address]}
    with node.client() as ng:
        to_callee = ng.offer("c", "f", fax(caller, host="192.168.1.9"), **behind)
        to_caller = ng.answer("c", "f", "t", fax(callee))
        for packet in pages(10):
            stranger.send(packet, to_caller)
        send(caller, callee, to_caller, pages(20))
        send(callee, caller, to_callee, pages(20))
        ng.delete("c", "f")


def test_a_fax_may_be_blocked_and_recorded(node, phones):
    caller, callee = phones(), phones()
    with node.client() as ng:
        ng.offer("c", "f", fax(caller))
        to_caller = ng.answer("c", "f", "t", fax(callee))
        ng.request("start recording", call_id="c")
        send(caller, callee, to_caller, pages(3))
        ng.request("block media", call_id="c", from_tag="f")
        caller.send(pages(1)[0], to_caller)
        assert callee.silent()
        ng.request("unblock media", call_id="c", from_tag="f")
        send(caller, callee, to_caller, pages(3))
        ng.delete("c", "f")
    (path,) = (node.root / "recordings").glob("c-*.pcap")
    raw = until(lambda: path.stat().st_size >= 24 + 6 * (16 + 28 + len(pages(1)[0])) and path.read_bytes())
    assert raw.count(b"\xff\x00page") == 6


@pytest.mark.parametrize("mode", ["none", "aes128", "srtp"])
def test_a_fax_crosses_a_trunk_in_the_clear_or_not_at_all(joined, mode):
    call: Call = joined(mode)
    if mode != "none":
        told = f"m=image udptl: trunk `ab` is {mode} here, and a fax cannot be encrypted"
        with pytest.raises(NgError, match=told):
            call.at_a.offer("c", "f", fax(call.caller), **call.a_names)
        # A call that has begun as sound goes on as sound.
        call.place()
        with pytest.raises(NgError, match=told):
            call.at_a.offer(call.call_id, "from", fax(call.caller), to_tag="to", **call.a_names)
        call.talk(20)
        return
    trunk = call.at_a.offer("c", "f", fax(call.caller), **call.a_names)
    to_callee = call.at_b.offer("c", "f", trunk, **call.b_names)
    back = call.at_b.answer("c", "f", "t", fax(call.callee))
    to_caller = call.at_a.answer("c", "f", "t", back)
    send(call.caller, call.callee, to_caller, pages(20))
    send(call.callee, call.caller, to_callee, pages(20))


def test_a_fax_answered_with_sound_is_rejected(node, phones):
    with node.client() as ng:
        ng.offer("c", "f", fax(phones()))
        assert "m=audio 0 " in ng.answer("c", "f", "t", phones().sdp())
        ng.delete("c", "f")
