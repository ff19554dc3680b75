"""Streams that come and go within a call: rejected, brought back, all of them at once."""

from __future__ import annotations

import re

import pytest
from relay_calls import Node, Phone, g711, until

VIDEO = "a=rtpmap:96 H264/90000"


@pytest.fixture
def node(nodes) -> Node:
    node = nodes("edge")
    node.start()
    return node


def sdp(phone: Phone, *ports: int) -> str:
    """Sound at the phone's port, or at 0, and further streams at ``ports``."""
    return phone.sdp(*(f"m=video {port} RTP/AVP 96\r\n{VIDEO}" for port in ports))


def ports(text: str) -> list[int]:
    return [int(port) for port in re.findall(r"^m=\w+ (\d+) ", text, re.MULTILINE)]


def test_a_stream_that_the_answer_rejects_gives_its_ports_back_and_can_come_again(node, phones):
    caller, callee = phones(), phones()
    with node.client() as ng:
        assert len(ports(ng.offer("c", "f", sdp(caller, 41000)))) == 2
        assert node.pairs() == 4
        answer = ng.answer("c", "f", "t", sdp(callee, 0))
        assert (ports(answer)[1], node.pairs()) == (0, 2)
        again = ports(ng.offer("c", "f", sdp(caller, 41000), to_tag="t"))
        back = ports(ng.answer("c", "f", "t", sdp(callee, 42000)))
        assert (back[0], node.pairs()) == (ports(answer)[0], 4)
        assert 0 not in {*again, *back}
        packet = g711(1, seed=1, payload_type=96)[0]
        with phones(callee.address, port=42000) as camera, phones(caller.address, port=41000) as screen:
            camera.rtp.sendto(packet, (node.address, again[1]))
            assert screen.drain(1) == [packet]
        ng.delete("c", "f")
    assert node.pairs() == 0


def test_what_a_stream_counted_stays_in_the_totals_when_it_is_over(node, phones):
    caller, callee = phones(), phones()
    with node.client() as ng:
        to_callee = ng.offer("c", "f", sdp(caller, 41000))
        to_caller = ng.answer("c", "f", "t", sdp(callee, 42000))
        for packet in g711(5, seed=1):
            caller.send(packet, to_caller)
        with phones(callee.address, port=42000) as camera:
            for packet in g711(7, seed=1, payload_type=96):
                camera.rtp.sendto(packet, (node.address, ports(to_callee)[1]))
            until(lambda: ng.query("c")["totals"]["RTP"]["packets"] == 12)
        ng.offer("c", "f", sdp(caller, 0), to_tag="t")
        ng.answer("c", "f", "t", sdp(callee, 0))
        assert node.pairs() == 2
        assert ng.query("c")["totals"]["RTP"]["packets"] == 12
        total = ng.delete("c", "f")["totals"]["RTP"]
        assert (total["packets"], total["bytes"]) == (12, 12 * 172)


def test_a_call_without_a_stream_outlives_control_and_gets_one_again(node, phones):
    caller, callee = phones(), phones()
    nothing = caller.sdp().replace(f"m=audio {caller.port}", "m=audio 0")
    with node.client() as ng:
        ng.offer("c", "f", caller.sdp())
        ng.answer("c", "f", "t", callee.sdp())
        ng.offer("c", "f", nothing, to_tag="t")
        ng.answer("c", "f", "t", callee.sdp().replace(f"m=audio {callee.port}", "m=audio 0"))
        assert node.pairs() == 0
        node.kill("control")
        assert node.ask("status")["calls"] == 1
        ng.offer("c", "f", caller.sdp(), to_tag="t")
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        sent = g711(3, seed=1)
        for packet in sent:
            caller.send(packet, to_caller)
        assert callee.drain(3) == sent
        assert "warning" not in ng.delete("c", "f")
    node.kill("control")
    assert node.ask("status")["calls"] == 0
