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
    node.config["alerts"] = {"interval": 0.1}
    node.start()
    names = {"vos_from": "acme", "vos_to": "vendor"}
    packets = g711(20, seed=1)
    with node.client() as ng:
        ng.offer("one", "f", caller.sdp(), **names)
        back = ng.answer("one", "f", "t", callee.sdp(), **names)
        for n in (0, 2, 1, *range(3, 18), 19, 18):
            caller.send(packets[n], back)
            if n not in (2, 19):  # no look at the call falls between the two that change places
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
        assert 3 <= figures["average MOS"]["samples"] <= 8
        assert figures["lowest MOS"]["samples"] == figures["highest MOS"]["samples"] == 1
        assert figures["lowest MOS"]["MOS"] <= 44 <= figures["highest MOS"]["MOS"]


def test_running_calls_keep_their_buffer_over_a_reload(nodes, phones):
    """Taken away, it stays with calls that have it; another one counts once a re-INVITE changes the media."""
    node, caller, callee = nodes("edge-a"), phones(), phones()
    node.gateway("acme", caller.address)
    gateway = node.config["gateways"]["acme"]
    gateway["jitter"] = {"mode": "fixed", "min": 20, "max": 400, "start": 40}
    node.start()

    def playout(call_id, phone, seed):
        """The delay of the call's first leg after three packets."""
        for packet in g711(3, seed=seed):
            phone.send(packet, to_caller[call_id])
            time.sleep(0.02)
        callee.drain(len(callee.got) + 3)
        legs = next(c["legs"] for c in node.ask("calls")["calls"] if c["call-id"] == call_id)
        return next(leg["playout_ms"] for leg in legs if leg["side"] == "a")

    def reload(jitter):
        gateway["jitter"] = jitter
        node.write()
        assert node.ask("reload")["ok"]

    to_caller = {}
    with node.client() as ng:
        for call_id, tag, before in (("old", "f", None), ("new", "g", lambda: reload(None))):
            if before:
                before()
            ng.offer(call_id, tag, caller.sdp(), vos_from="acme")
            to_caller[call_id] = ng.answer(call_id, tag, "t", callee.sdp())
        assert 35 <= playout("old", caller, 1) <= 45
        assert playout("new", caller, 2) == 0
        for jitter, least, most in (
            (None, 35, 45),
            ({"mode": "fixed", "min": 20, "max": 400, "start": 90}, 85, 95),
        ):
            reload(jitter)
            moved = phones()
            ng.offer("old", "f", moved.sdp(), to_tag="t")
            ng.answer("old", "f", "t", callee.sdp())
            assert least <= playout("old", moved, 3) <= most


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
