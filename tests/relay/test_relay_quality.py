"""A gateway's jitter buffer and the figures of its calls, on a running relay: list of calls and NG query."""

from __future__ import annotations

import struct
import time

from relay_calls import g711, until

JITTER = {"mode": "adaptive", "min": 20, "max": 200, "start": 60}


def test_what_a_gateway_sends_is_evened_and_rated(nodes, phones):
    node, caller, callee = nodes("edge-a"), phones(), phones()
    node.gateway("acme", caller.address)
    node.gateway("vendor", callee.address)
    node.config["gateways"]["acme"]["jitter"] = JITTER
    node.start()
    names = {"vos_from": "acme", "vos_to": "vendor"}
    packets = g711(20, seed=1)
    with node.client() as ng:
        ng.offer("one", "f", caller.sdp(), **names)
        back = ng.answer("one", "f", "t", callee.sdp(), **names)
        for n in (0, 2, 1, *range(3, 18), 19, 18):
            caller.send(packets[n], back)
            time.sleep(0.02)
        assert callee.drain(20) == packets
        (call,) = node.ask("calls")["calls"]
        legs = {leg["side"]: leg for leg in call["legs"]}
        assert 20 <= legs["a"]["playout_ms"] <= 200
        assert legs["b"]["playout_ms"] == 0
        assert legs["a"]["late"] == 0
        assert legs["a"]["mos"] > 4.3
        assert legs["b"]["mos"] is None
        found = ng.query("one")["SSRC"]
        ((ssrc, figures),) = found.items()
        assert int(ssrc) == struct.unpack("!I", packets[0][8:12])[0]
        assert figures["average MOS"]["MOS"] == 44
        assert figures["average MOS"]["packet loss"] == 0


def test_the_round_trip_is_that_of_the_reports(nodes, phones):
    """The caller's report leaves to the callee, who keeps it for 1/16 s (0x1000 in 1/65536) and 50 ms of path."""
    node, caller, callee = nodes("edge-a"), phones(), phones()
    node.start()
    with node.client() as ng:
        to = ng.offer("one", "f", caller.sdp())
        back = ng.answer("one", "f", "t", callee.sdp())
        rtcp_a, rtcp_b = (_rtcp(text) for text in (back, to))
        report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 1, 0xAAAA1234, 0x5678BBBB, 0, 0, 0)
        caller.rtcp.sendto(report, rtcp_a)
        callee.rtcp.settimeout(5)
        assert callee.rtcp.recv(100) == report
        time.sleep(0.1125)
        block = struct.pack("!IIIIII", 1, 0, 0, 0, 0x12345678, 0x1000)
        callee.rtcp.sendto(struct.pack("!BBHI", 0x81, 201, 7, 2) + block, rtcp_b)
        legs = until(lambda: _measured(node))
        assert 50 <= legs["b"]["rtt_ms"] < 5000
        assert legs["a"]["rtt_ms"] is None


def _rtcp(sdp: str) -> tuple[str, int]:
    lines = sdp.split("\r\n")
    host = next(line.split()[2] for line in lines if line.startswith("c="))
    return host, int(next(line for line in lines if line.startswith("a=rtcp:"))[7:].split()[0])


def _measured(node) -> dict:
    (call,) = node.ask("calls")["calls"]
    legs = {leg["side"]: leg for leg in call["legs"]}
    return legs if legs["b"]["rtt_ms"] else {}
