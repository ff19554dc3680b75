"""Admission: calls a second, calls at once, longest calls, of a gateway and of the relay, on a real relay."""

from __future__ import annotations

import time

import pytest
from relay_calls import Node, until

from vosctl.relay.ng import NgError

SUPPORTS = {"supports": ["load limit"]}


@pytest.fixture
def node(nodes) -> Node:
    node = nodes("edge")
    node.gateway("acme", "198.51.100.7")
    node.gateway("vendor", "198.51.100.8")
    return node


def offer(ng, phone, name: str, **keys) -> str:
    """What the relay answers to an offer: ``ok``, or the words of its refusal."""
    names = {"vos_from": "acme", "vos_to": "vendor", **keys}
    reply = ng.request("offer", call_id=name, from_tag="f", sdp=phone.sdp(), **names)
    return reply.get("error-reason", reply["result"])


def test_calls_at_once_of_a_gateway(node, phones):
    node.config["gateways"]["acme"]["limits"] = {"concurrent": 2}
    node.start()
    phone = phones()
    with node.client() as ng:
        assert [offer(ng, phone, name, **SUPPORTS) for name in "abc"] == ["ok", "ok", "load limit"]
        assert offer(ng, phone, "c") == "Parallel session limit reached"
        assert offer(ng, phone, "other", vos_from="vendor", vos_to=None) == "ok"
        # A fork of a call that runs, and its re-INVITE, are no other call.
        assert offer(ng, phone, "a", via_branch="z9", **SUPPORTS) == "ok"
        assert offer(ng, phone, "b", **SUPPORTS) == "ok"
        ng.delete("b", "f")
        assert offer(ng, phone, "c", **SUPPORTS) == "ok"
    assert "`acme` has 2 calls, its limit" in node.log()
    assert node.ask("status")["calls"] == 3


def test_the_called_gateway_counts_too(node, phones):
    node.config["gateways"]["vendor"]["limits"] = {"concurrent": 1}
    node.start()
    phone = phones()
    with node.client() as ng:
        assert [offer(ng, phone, name, **SUPPORTS) for name in "ab"] == ["ok", "load limit"]
        assert offer(ng, phone, "b", vos_to=None, **SUPPORTS) == "ok"


def test_calls_at_once_of_the_relay(node, phones):
    node.config["limits"] = {"concurrent": 3}
    node.start()
    phone = phones()
    with node.client() as ng:
        found = [offer(ng, phone, str(number), vos_from=None, vos_to=None, **SUPPORTS) for number in range(5)]
        assert found == ["ok", "ok", "ok", "load limit", "load limit"]
    assert "this relay has 3 calls, its limit" in node.log()


def test_no_more_calls_a_second_than_the_limit(node, phones):
    node.config["gateways"]["acme"]["limits"] = {"cps": 5}
    node.start()
    phone = phones()
    with node.client() as ng:
        began = time.monotonic()
        found = [offer(ng, phone, f"a{number}", **SUPPORTS) for number in range(12)]
        if time.monotonic() - began < 1:
            assert found == ["ok"] * 5 + ["load limit"] * 7
        assert found.count("load limit") > 0
        # Those that were refused do not count against those that come.
        until(lambda: offer(ng, phone, "later", **SUPPORTS) == "ok", 3)
    assert "`acme` began 5 calls within a second, its limit" in node.log()


def test_the_port_pool_has_its_own_words(node, phones):
    node.config["ports"] = [20000, 20003]
    node.start()
    with node.client() as ng:
        assert [offer(ng, phones(), name) for name in "ab"] == ["ok", "Ran out of ports"]
        ng.delete("a", "f")
        assert offer(ng, phones(), "b") == "ok"


def test_a_call_that_lasts_too_long_is_closed_and_says_so(node, phones):
    node.config["gateways"]["acme"]["limits"] = {"duration": 1}
    node.start()
    phone = phones()
    with node.client() as ng:
        for name, keys in (("long", {}), ("free", {"vos_from": "vendor", "vos_to": None}), ("rings", {})):
            assert offer(ng, phone, name, **keys) == "ok"
            if name != "rings":
                ng.answer(name, "f", "t", phone.sdp())
        until(lambda: "call long: the longest duration of `acme`, 1 s, is over, closed" in node.log())
        time.sleep(0.7)
        assert {call["call-id"] for call in node.ask("calls")["calls"]} == {"free", "rings"}
        assert ng.delete("long", "f")["warning"]


def test_a_reload_brings_other_limits_to_calls_that_run(node, phones):
    node.start()
    phone = phones()
    with node.client() as ng:
        offer(ng, phone, "a")
        ng.answer("a", "f", "t", phone.sdp())
        node.config["limits"] = {"duration": 1, "concurrent": 1}
        node.write()
        assert node.ask("reload") == {"ok": True}
        assert offer(ng, phone, "b", **SUPPORTS) == "load limit"
        until(lambda: "call a: the longest duration of this relay, 1 s, is over" in node.log())
        assert offer(ng, phone, "b", **SUPPORTS) == "ok"


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"cps": -1}, "limits: cps: must be a whole number from 0 to 100000"),
        ({"duration": "1h"}, "limits: duration: must be a whole number"),
        ([], "limits: must be an object"),
    ],
)
def test_limits_that_are_none(node, limits, told):
    node.config["limits"] = limits
    node.write()
    assert told in node.run("supervise").stderr


def test_a_refused_call_leaves_nothing(node, phones):
    node.config["limits"] = {"concurrent": 1}
    node.start()
    with node.client() as ng:
        offer(ng, phones(), "a")
        with pytest.raises(NgError, match="Parallel session limit reached"):
            ng.offer("b", "f", phones().sdp())
        assert len(node.ask("calls")["calls"]) == 1
        assert ng.delete("b", "f")["warning"]
