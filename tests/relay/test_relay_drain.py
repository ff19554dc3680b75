"""A relay that is drained: new calls are refused as at a limit, those that run go on, until it is taken back."""

from __future__ import annotations

import time

import pytest
from relay_calls import Call, Node, until

LIMIT = {"supports": ["load limit"]}


@pytest.fixture
def node(nodes) -> Node:
    node = nodes("edge")
    node.start()
    return node


def offer(ng, phone, name: str, **keys) -> str:
    """What the relay answers to an offer: ``ok``, or the words of its refusal."""
    reply = ng.request("offer", call_id=name, from_tag="f", sdp=phone.sdp(), **keys)
    return reply.get("error-reason", reply["result"])


def drained(node: Node) -> bool:
    return node.ask("status")["draining"] is not None


def test_new_calls_are_refused_and_running_ones_lose_nothing(node, phones):
    caller, callee = phones(), phones()
    call = Call(node, node, caller, callee)
    with node.client() as ng:
        call.to_callee = ng.offer("c", "f", caller.sdp())
        call.to_caller = ng.answer("c", "f", "t", callee.sdp())
        assert node.ask("drain", on=True)["calls"] == 1
        since = node.ask("status")["draining"]["since"]
        assert abs(time.time() - since) < 30
        assert offer(ng, caller, "new", **LIMIT) == "load limit"
        # To a proxy that does not know these words, as at any limit: it tries its next relay.
        assert offer(ng, caller, "new") == "Parallel session limit reached"
        assert ng.request("ping")["result"] == "pong"
        # A re-INVITE and a fork of a call that runs.
        assert ng.offer("c", "f", caller.sdp(), to_tag="t") == call.to_callee
        assert offer(ng, caller, "c", via_branch="z9", **LIMIT) == "ok"
        call.talk(100)
        assert ng.delete("c", "f")["totals"]["RTP"]["packets"] == 200
        assert node.ask("drain") == {"ok": True, "draining": {"since": since}, "calls": 0}
        assert node.ask("drain", on=False)["draining"] is None
        assert offer(ng, caller, "new", **LIMIT) == "ok"
    call.close()
    assert "draining: no new calls are taken" in node.log()


def test_it_outlives_control_and_the_whole_relay(node, phones):
    node.ask("drain", on=True)
    since = node.ask("status")["draining"]["since"]
    node.kill("control")
    assert node.ask("status")["draining"] == {"since": since}
    node.stop()
    node.start()
    with node.client() as ng:
        assert offer(ng, phones(), "new", **LIMIT) == "load limit"
    assert node.ask("status")["draining"] == {"since": since}


def test_a_passing_one_ends_by_itself_and_leaves_a_persons_alone(node, phones):
    assert node.ask("drain", seconds=0.4)["draining"] == {"since": None}
    with node.client() as ng:
        assert offer(ng, phones(), "new", **LIMIT) == "load limit"
        until(lambda: not drained(node), 5)
        assert offer(ng, phones(), "new", **LIMIT) == "ok"
    node.ask("drain", seconds=30)
    assert node.ask("drain", seconds=0)["draining"] is None
    node.ask("drain", on=True, seconds=30)
    assert node.ask("drain", seconds=0)["draining"] is not None


def test_what_makes_no_sense_changes_nothing(node):
    for wrong in ({"on": "yes"}, {"on": 1}, {"seconds": "5"}, {"seconds": True}, {"seconds": [1]}):
        answer = node.ask("drain", **wrong)
        assert answer["error"] in {"on is true or false", "seconds is a number"}
        assert not drained(node)


def test_refusals_are_counted_under_their_own_name(nodes, phones):
    node = nodes("counted")
    node.gateway("acme", "198.51.100.7")
    node.config["metrics"] = {"listen": None, "textfile": str(node.root / "vosctl.prom")}
    node.start()
    node.ask("drain", on=True)
    with node.client() as ng:
        assert offer(ng, phones(), "new", vos_from="acme", **LIMIT) == "load limit"
    text = until(lambda: _metrics(node, 'vosctl_relay_calls_refused_total{peer="acme",limit="drain"} 1'), 30)
    assert "vosctl_relay_draining 1" in text


def _metrics(node: Node, line: str) -> str:
    file = node.root / "vosctl.prom"
    text = file.read_text() if file.exists() else ""
    return text if line in text else ""
