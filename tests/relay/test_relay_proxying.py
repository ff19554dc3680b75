"""Media proxy modes and named interfaces, on a real relay and as pure decisions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from relay_calls import Call, address, target, until

from vosctl.relay.control import proxying
from vosctl.relay.ng import NgError


def lines(sdp: str, kind: str) -> list[str]:
    return [line for line in sdp.split("\r\n") if line.startswith(f"{kind}=")]


@pytest.fixture
def edge(nodes, phones):
    """A relay, a caller at `acme` and a callee at `vendor`; ``start`` gives the two gateways their modes."""
    node, caller, callee = nodes("edge"), phones(), phones()
    node.gateway("acme", caller.address)
    node.gateway("vendor", callee.address)

    def start(acme: str, vendor: str | None = None):
        node.config["gateways"]["acme"]["proxy"] = acme
        node.config["gateways"]["vendor"]["proxy"] = vendor or acme
        node.start()
        return node.client()

    names = {"vos_from": "acme", "vos_to": "vendor", "received_from": ["IP4", caller.address]}
    return SimpleNamespace(node=node, caller=caller, callee=callee, start=start, names=names)


def test_off_returns_both_descriptions_untouched(edge):
    with edge.start("off") as ng:
        sdp = edge.caller.sdp("a=candidate:1 1 UDP 1 192.0.2.1 9 typ host", "a=sendonly")
        assert ng.offer("c", "f", sdp, **edge.names) == sdp
        answer = edge.callee.sdp("a=recvonly")
        assert ng.answer("c", "f", "t", answer) == answer
        assert ng.offer("c", "f", sdp, to_tag="t", **edge.names) == sdp
        call = edge.node.ask("calls")["calls"][0]
        assert (call["answered"], call["bypass"], call["legs"]) == (True, True, [])
        assert ng.query("c")["totals"]["RTP"]["packets"] == 0
        assert "warning" not in ng.delete("c", "f")
    assert edge.node.ask("status")["calls"] == 0


@pytest.mark.parametrize(
    ("acme", "vendor", "keys", "attribute", "carried"),
    [
        ("on", "on", {}, (), True),
        ("on", "on", {"flags": ["vos-bypass"]}, (), False),
        ("on", "on", {}, ("a=nortpproxy:yes",), False),
        ("must_on", "must_on", {"flags": ["vos-bypass"]}, ("a=nortpproxy:yes",), True),
        ("off", "must_on", {}, (), True),
        ("on", "off", {}, (), True),
        ("auto", "off", {}, (), False),
    ],
)
def test_modes_and_bypass(edge, acme, vendor, keys, attribute, carried):
    with edge.start(acme, vendor) as ng:
        sdp = edge.caller.sdp(*attribute)
        back = ng.offer("c", "f", sdp, **edge.names, **keys)
        assert (target(back)[0] == edge.node.address) is carried
        assert (back == sdp) is not carried
        ng.delete("c", "f")


@pytest.mark.parametrize(
    ("change", "carried"),
    [
        ({}, False),
        ({"received_from": ["IP4", "203.0.113.5"]}, True),  # behind NAT
        ({"received_from": None}, True),  # nothing is known of where it came from
        ({"vos_to": None}, True),  # nothing is known of the other end
        ({"vos_to": "public"}, True),  # another network
        ({"address_family": "IP4"}, True),
    ],
)
def test_auto_relays_where_the_ends_cannot_reach_each_other(edge, change, carried):
    edge.node.gateway("public", "203.0.113.77")
    edge.node.config["gateways"]["public"]["proxy"] = "auto"
    with edge.start("auto") as ng:
        back = ng.offer("c", "f", edge.caller.sdp(), **{**edge.names, **change})
        assert (target(back)[0] == edge.node.address) is carried
        ng.delete("c", "f")


def test_a_call_that_bypassed_the_relay_comes_in_when_its_media_moves_behind_nat(edge):
    with edge.start("auto") as ng:
        assert target(ng.offer("c", "f", edge.caller.sdp(), **edge.names))[0] == edge.caller.address
        ng.answer("c", "f", "t", edge.callee.sdp())
        moved = edge.caller.sdp(host="192.168.1.9")
        call = Call(edge.node, edge.node, edge.caller, edge.callee, call_id="c")
        call.to_callee = ng.offer("c", "f", moved, to_tag="t", **edge.names)
        call.to_caller = ng.answer("c", "f", "t", edge.callee.sdp())
        assert target(call.to_callee)[0] == target(call.to_caller)[0] == edge.node.address
        call.talk(20)
        call.close()
        ng.delete("c", "f")


@pytest.mark.parametrize("processes", [("control",), ("media",), ("control", "media")], ids="+".join)
def test_a_call_that_bypasses_the_relay_outlives_a_process(edge, processes):
    with edge.start("auto") as ng:
        ng.offer("c", "f", edge.caller.sdp(), **edge.names)
        ng.offer("rings", "f", edge.caller.sdp(), **edge.names)
        ng.answer("c", "f", "t", edge.callee.sdp())
        before = edge.node.ask("calls")["calls"]
        for process in processes:
            edge.node.kill(process)
        until(lambda: edge.node.ask("status")["media"]["up"])
        assert sorted(edge.node.ask("calls")["calls"], key=str) == sorted(before, key=str)
        assert {(call["answered"], call["bypass"]) for call in before} == {(True, True), (False, True)}
        # What comes next is answered as before: untouched, and relayed where it is needed now.
        again = edge.caller.sdp("a=sendonly")
        assert ng.offer("c", "f", again, to_tag="t", **edge.names) == again
        assert ng.answer("rings", "f", "t", edge.callee.sdp()) == edge.callee.sdp()
        moved = edge.caller.sdp(host="192.168.1.9")
        assert target(ng.offer("c", "f", moved, to_tag="t", **edge.names))[0] == edge.node.address
        assert not {"warning", "error-reason"} & {*ng.delete("c", "f"), *ng.delete("rings", "f")}
    # Media holds none of it any more.
    edge.node.kill("control")
    assert edge.node.ask("status")["calls"] == 0


def test_an_encrypted_trunk_is_always_relayed():
    peer = SimpleNamespace(mode="aes128", proxy="off")
    config = SimpleNamespace(proxy="off")
    assert proxying.mode(config, (peer, None)) == "must_on"
    assert proxying.mode(config, (None, None)) == "off"


@pytest.fixture
def sides(nodes, phones):
    """A relay with an inner and an outer interface, the outer one behind a translator."""
    node, phone = nodes("edge"), phones()
    inner, outer = address(), address()
    node.config["interfaces"] = {
        "inner": {"addresses": [inner], "networks": ["10.0.0.0/8"]},
        "outer": {"addresses": [outer], "advertised": ["203.0.113.1"], "networks": ["203.0.113.0/24"]},
    }
    node.gateway("acme", phone.address)
    node.gateway("vendor", "198.51.100.9")
    node.gateway("routed", "203.0.113.50")
    node.config["gateways"]["vendor"]["interface"] = "outer"
    node.start()
    with node.client() as ng:
        yield SimpleNamespace(node=node, phone=phone, inner=inner, outer=outer, ng=ng)


def towards(sides, **keys) -> tuple[str, str]:
    """The addresses in the SDP towards the answerer and towards the offerer."""
    offer = sides.ng.offer("c", "f", sides.phone.sdp(), **keys)
    answer = sides.ng.answer("c", "f", "t", sides.phone.sdp())
    sides.ng.delete("c", "f")
    return target(offer)[0], target(answer)[0]


def test_the_interface_is_chosen_by_direction_gateway_route_or_is_the_first(sides):
    here = sides.node.address
    assert towards(sides) == (here, here)
    assert towards(sides, vos_from="acme", vos_to="vendor") == ("203.0.113.1", here)
    assert towards(sides, vos_from="acme", vos_to="routed") == ("203.0.113.1", here)
    assert towards(sides, direction=["inner", "outer"]) == ("203.0.113.1", sides.inner)
    assert towards(sides, direction=["outer", "inner"], vos_to="vendor") == (sides.inner, "203.0.113.1")
    assert towards(sides, media_address="192.0.2.77", vos_to="vendor")[0] == "192.0.2.77"


def test_sockets_are_bound_where_the_interface_says(sides):
    sides.ng.offer("c", "f", sides.phone.sdp(), direction=["inner", "outer"])
    legs = sides.node.ask("calls")["calls"][0]["legs"]
    assert [leg["local"][0] for leg in legs] == [sides.inner, sides.outer]
    sides.ng.delete("c", "f")


def test_an_interface_that_is_not_there_is_refused(sides):
    with pytest.raises(NgError, match=r"direction: no interface `moon` \(default, inner, outer\)"):
        towards(sides, direction=["moon", "inner"])
    with pytest.raises(NgError, match="No IPv6 address on interface `outer`"):
        towards(sides, vos_to="vendor", address_family="IP6")


@pytest.mark.parametrize(
    ("interfaces", "told"),
    [
        ({"default": {"addresses": ["192.0.2.1"]}}, "interfaces: default: is the interface of `addresses`"),
        ({"x": {}}, "interfaces: x.addresses: must name at least one address"),
        ({"x": {"addresses": ["moon"]}}, "interfaces: x.addresses: 'moon' does not appear"),
        ({"x": {"addresses": ["192.0.2.1", "192.0.2.2"]}}, "one IPv4 and one IPv6 address at the most"),
        ({"x": {"addresses": ["192.0.2.1"], "networks": ["1.2.3.4/40"]}}, "interfaces: x.networks: "),
        ([], "interfaces: must be an object"),
    ],
)
def test_interfaces_that_are_none(nodes, interfaces, told):
    node = nodes("edge")
    node.config["interfaces"] = interfaces
    node.write()
    assert told in node.run("supervise").stderr


def test_a_gateway_on_an_interface_that_is_not_there(nodes):
    node = nodes("edge")
    node.gateway("acme", "192.0.2.1")
    node.config["gateways"]["acme"].update(interface="moon", proxy="maybe")
    node.write()
    told = node.run("supervise").stderr
    assert "gateways.acme.interface: no interface `moon` (default)" in told
    assert "gateways.acme.proxy: must be one of off, auto, on, must_on" in told
