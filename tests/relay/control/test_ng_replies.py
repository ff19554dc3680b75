"""What a real relay answers on its NG socket: the table of replies, cookies, bounds, and nothing half-made."""

from __future__ import annotations

import socket
import threading

import pytest
from relay_calls import Node, Phone, attribute, target

from vosctl.relay.control import bencode
from vosctl.relay.ng import NgError

OFFER = {"command": "offer", "call-id": "c", "from-tag": "f"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("ng") / "edge", "edge")
    node.config["ports"] = [20000, 20015]  # four calls
    node.gateway("acme", "198.51.100.7")
    node.trunk("ab", "203.0.113.50", "xor", "k1")
    node.keys = {"k1": "secretkey"}
    node.start()
    yield node
    assert node.ask("status")["calls"] == 0
    node.stop()


@pytest.fixture
def ng(node):
    with node.client(timeout=5, tries=1) as client:
        yield client


@pytest.fixture
def phone():
    phone = Phone()
    yield phone
    phone.close()


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ({"command": "ping"}, {"result": "pong"}),
        ({"command": "moonwalk"}, {"result": "error", "error-reason": "Unrecognized command"}),
        ({}, {"result": "error", "error-reason": "Unrecognized command"}),
        ({"command": "offer", "from-tag": "f"}, {"result": "error", "error-reason": "No call-id in message"}),
        (
            {"command": "answer", "call-id": "none", "from-tag": "f", "to-tag": "t", "sdp": "v=0"},
            {"result": "error", "error-reason": "Unknown call-id"},
        ),
        (
            {"command": "answer", "call-id": "none", "from-tag": "f", "sdp": "v=0"},
            {"result": "error", "error-reason": "No to-tag in message"},
        ),
        ({"command": "query", "call-id": "none"}, {"result": "error", "error-reason": "Unknown call-id"}),
        (
            {"command": "delete", "call-id": "none", "from-tag": "f"},
            {"result": "ok", "warning": "Call-ID not found or tags didn't match"},
        ),
        (
            {"command": "delete", "call-id": "none", "from-tag": "f", "flags": ["fatal"]},
            {"result": "error", "error-reason": "Call-ID not found or tags didn't match"},
        ),
        (
            {"command": "offer", "call-id": "c", "sdp": "v=0"},
            {"result": "error", "error-reason": "No from-tag in message"},
        ),
        (OFFER, {"result": "error", "error-reason": "Failed to parse SDP"}),
        ({**OFFER, "sdp": ""}, {"result": "error", "error-reason": "Failed to parse SDP"}),
        ({**OFFER, "sdp": ["v=0"]}, {"result": "error", "error-reason": "Failed to parse SDP"}),
        (
            {**OFFER, "sdp": "hello"},
            {"result": "error", "error-reason": "Failed to parse SDP: line 1: not <type>=<value>"},
        ),
        (
            {**OFFER, "from-tag": "x" * 600, "sdp": "v=0"},
            {"result": "error", "error-reason": "from-tag is longer than 512 characters"},
        ),
        (
            {**OFFER, "from-tag": ["x"], "sdp": "v=0"},
            {"result": "error", "error-reason": "from-tag is not a string"},
        ),
        (
            {**OFFER, "received-from": ["IP4", "example.com"], "sdp": "v=0"},
            {"result": "error", "error-reason": "received-from holds no IP address"},
        ),
        (
            {**OFFER, "media-address": "x\r\na=evil", "sdp": "v=0"},
            {"result": "error", "error-reason": "media-address is no IP address"},
        ),
        (
            {**OFFER, "vos-to": "nobody", "sdp": "v=0"},
            {"result": "error", "error-reason": "vos-to: no gateway or trunk `nobody`"},
        ),
    ],
)
def test_replies(ng, request_, reply):
    assert bencode.decode(ng.exchange(bencode.encode(request_))) == reply


@pytest.mark.parametrize(
    "payload",
    [b"", b"nonsense", b"le", b"4:ping", b"d7:commande", b"l" * 60000, b"d" + b"1:a" * 20000, b"i1e"],
)
def test_what_is_no_dictionary_is_told_so(ng, payload):
    reply = bencode.decode(ng.exchange(payload))
    assert reply == {"result": "error", "error-reason": "Invalid NG data format"}


@pytest.mark.parametrize(
    "datagram", [b"", b"nospace", b" d7:command4:pinge", b"c" * 400 + b" d7:command4:pinge"]
)
def test_without_a_cookie_there_is_no_answer(node, ng, datagram):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.settimeout(0.2)
        raw.sendto(datagram, (node.address, 2223))
        with pytest.raises(TimeoutError):
            raw.recv(1000)
    ng.ping()


def test_a_space_is_a_hyphen_in_keys_and_flags(ng, phone):
    names = {"call id": "spaces", "from tag": "f", "via branch": "1"}
    message = {"command": "offer", **names, "sdp": phone.sdp(), "flags": ["replace origin"]}
    reply = bencode.decode(ng.exchange(bencode.encode(message)))
    assert f"o=- 1 1 IN IP4 {ng._address[0]}" in reply["sdp"]
    message = {"command": "delete", "call id": "other", "from tag": "f", "flags": ["FATAL"]}
    assert bencode.decode(ng.exchange(bencode.encode(message)))["result"] == "error"
    ng.delete("spaces", "f")


def test_a_repeated_cookie_gets_the_same_bytes(ng, phone):
    offer = bencode.encode({**OFFER, "call-id": "again", "sdp": phone.sdp(), "vos-to": "ab"})
    first = ng.exchange(offer, "cookie-1")
    assert ng.exchange(offer, "cookie-1") == first
    fresh = ng.exchange(offer.replace(b"5:again", b"5:other"), "cookie-2")
    assert fresh != first
    ng.delete("again", "f")
    ng.delete("other", "f")
    assert ng.exchange(offer, "cookie-1") == first
    assert ng.request("query", call_id="again")["error-reason"] == "Unknown call-id"


def test_duplicates_that_come_at_once_make_one_call(node, ng, phone):
    payload = b"many " + bencode.encode({**OFFER, "call-id": "burst", "sdp": phone.sdp()})
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    try:
        for one in sockets:
            one.settimeout(5)
            one.sendto(payload, (node.address, 2223))
        assert len({one.recv(4096) for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()
    assert len(node.ask("calls")["calls"]) == 1
    ng.delete("burst", "f")


def _ports_used(node) -> int:
    """How many legs media holds, by its own account."""
    return sum(len(call["legs"]) for call in node.ask("calls")["calls"])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["a=x"] * 10_000, "more than 1000 lines"),
        (["m=audio 4000 RTP/AVP 0"] * 17, "more than 16 m= lines"),
        (["m=audio 70000 RTP/AVP 0"], "line 6: port `70000` is not a number from 0 to 65535"),
        (["m=audio 4000/2 RTP/AVP 0"], "line 6: several ports in one m= line cannot be relayed"),
        (["m=audio 4000 RTP/AVP"], "line 6: m= needs media, port, protocol and a format"),
        (["m=audio 4000 RTP/AVP 200"], "line 6: payload type `200` is not a number from 0 to 127"),
        (["m=audio 4000 RTP/AVP " + "0 " * 129], "line 6: more than 128 formats"),
        (["a=" + "x" * 3000], "line 6: longer than 2048 characters"),
        (["m=audio 4000 RTP/AVP 0", "c=IN IP4 host.example"], "line 7: no address in c=IN IP4 host.example"),
        (["m=audio 4000 RTP/AVP 0", "c=IN IP6 192.0.2.1"], "line 7: c= must be IN IP4 for 192.0.2.1"),
        (["m=audio 4000 RTP/AVP 0", "c=IN IP4 239.0.0.1/127"], "line 7: multicast cannot be relayed"),
        (["m=audio 4000 RTP/AVP 0", "a=rtcp:x"], "line 7: a=rtcp port `x` is not a number from 0 to 65535"),
        (["a=\0"], "line 6: not <type>=<value>"),
    ],
)
def test_a_bad_sdp_is_refused_by_line_and_leaves_nothing(node, ng, lines, reason):
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    with pytest.raises(NgError) as caught:
        ng.offer("bad", "f", "\r\n".join([*head, *lines, ""]))
    assert caught.value.reason == f"Failed to parse SDP: {reason}"
    assert _ports_used(node) == 0


def test_an_sdp_without_an_address_is_refused(ng):
    with pytest.raises(NgError, match="line 4: no c= line for it"):
        ng.offer("bad", "f", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n")


def test_the_pool_runs_dry_and_a_failed_offer_gives_its_ports_back(node, ng, phone):
    for number in range(3):
        ng.offer(f"pool-{number}", "f", phone.sdp())
    two = phone.sdp() + "m=video 4000 RTP/AVP 31\r\n"
    with pytest.raises(NgError) as caught:
        ng.offer("too-much", "f", two)
    assert caught.value.reason == "Ran out of ports"
    assert _ports_used(node) == 6
    ng.offer("pool-3", "f", phone.sdp())
    with pytest.raises(NgError, match="Ran out of ports"):
        ng.offer("pool-4", "f", phone.sdp())
    for number in range(4):
        ng.delete(f"pool-{number}", "f")
    assert _ports_used(node) == 0


def test_a_failed_reoffer_leaves_the_call_as_it_was(node, ng, phone):
    for number in range(4):
        ng.offer(f"full-{number}", "f", phone.sdp())
    before = ng.answer("full-0", "f", "t", phone.sdp())
    with pytest.raises(NgError, match="Ran out of ports"):
        ng.offer("full-0", "f", phone.sdp(host="192.0.2.1") + "m=video 4000 RTP/AVP 31\r\n", to_tag="t")
    legs = next(call for call in node.ask("calls")["calls"] if call["call-id"] == "full-0")["legs"]
    assert [leg["remote"] for leg in legs] == [[phone.address, phone.port]] * 2
    assert ng.answer("full-0", "f", "t", phone.sdp()) == before
    for number in range(4):
        ng.delete(f"full-{number}", "f")


def test_a_failed_reoffer_gives_the_ports_of_its_new_streams_back(node, ng, phone):
    for number in range(3):
        ng.offer(f"most-{number}", "f", phone.sdp())
    before = ng.answer("most-0", "f", "t", phone.sdp())
    used = _ports_used(node)
    video = "m=video 4000 RTP/AVP 31\r\n"
    for _ in range(3):
        with pytest.raises(NgError, match="Ran out of ports"):
            ng.offer("most-0", "f", phone.sdp() + 2 * video, to_tag="t")
        assert _ports_used(node) == used
    ng.offer("most-0", "f", phone.sdp() + video, to_tag="t")
    assert ng.answer("most-0", "f", "t", phone.sdp() + video).startswith(before[:30])
    for number in range(3):
        ng.delete(f"most-{number}", "f")
    assert _ports_used(node) == 0


def test_a_refused_key_leaves_nothing(node, ng, phone):
    with pytest.raises(NgError, match="vos-crypto: trunk `ab`: the salt is not 8 hex digits"):
        ng.offer("key", "f", phone.sdp("a=vos-crypto:xor kid=k1 salt=zz"), vos_from="ab")
    with pytest.raises(NgError, match="vos-crypto: trunk `ab` is xor here, the peer signals none"):
        ng.offer("key", "f", phone.sdp("a=vos-crypto:none"), vos_from="ab")
    with pytest.raises(NgError, match="vos-crypto: the peer signals xor, but `acme` is no trunk"):
        ng.offer("key", "f", phone.sdp("a=vos-crypto:xor kid=k1"), vos_from="acme")
    assert _ports_used(node) == 0
    assert "secretkey" not in node.log()


def test_ends_are_found_by_where_the_signalling_came_from(node, ng, phone):
    ng.offer("who", "f", phone.sdp(), received_from=["IP4", "198.51.100.7"])
    ng.answer("who", "f", "t", phone.sdp(), received_from=["IP4", "203.0.113.50"])
    call = node.ask("calls")["calls"][0]
    assert (call["from"], call["to"]) == ("acme", "ab")
    assert [leg["mode"] for leg in call["legs"]] == ["none", "xor"]
    ng.delete("who", "f")


def test_branches_of_a_forked_call_have_ports_of_their_own(node, ng, phone):
    first = ng.offer("fork", "f", phone.sdp(), via_branch="z9hG4bK1")
    second = ng.offer("fork", "f", phone.sdp(), via_branch="z9hG4bK2")
    assert target(first) != target(second)
    assert ng.offer("fork", "f", phone.sdp(), via_branch="z9hG4bK1") == first
    one = ng.answer("fork", "f", "t1", phone.sdp(), via_branch="z9hG4bK1")
    two = ng.answer("fork", "f", "t2", phone.sdp(), via_branch="z9hG4bK2")
    assert len({target(sdp) for sdp in (first, second, one, two)}) == 4
    ng.delete("fork", "f", via_branch="z9hG4bK1")
    assert [call["to-tag"] for call in node.ask("calls")["calls"]] == ["t2"]
    assert ng.offer("fork", "t2", phone.sdp(), to_tag="f") is not None
    ng.delete("fork", "f", to_tag="t2")


def test_a_fork_beyond_the_proxy_takes_over_and_both_tags_find_the_call(node, ng, phone):
    ng.offer("fork", "f", phone.sdp())
    first = ng.answer("fork", "f", "t1", phone.sdp())
    assert target(ng.answer("fork", "f", "t2", phone.sdp(host="192.0.2.2"))) == target(first)
    legs = node.ask("calls")["calls"][0]["legs"]
    assert legs[1]["remote"] == ["192.0.2.2", phone.port]
    assert ng.query("fork")["tags"].keys() == {"f", "t2"}
    assert "warning" not in ng.delete("fork", "t1", to_tag="f")


def test_delete_needs_a_tag_that_fits(ng, phone):
    ng.offer("tags", "f", phone.sdp())
    assert ng.delete("tags", "stranger")["warning"]
    ng.query("tags")
    assert "warning" not in ng.delete("tags", "f", to_tag="of-a-486")
    ng.offer("tags", "f", phone.sdp())
    assert "warning" not in ng.delete("tags", "")


def test_query_tells_ports_and_totals(ng, phone):
    to_callee = ng.offer("query", "f", phone.sdp())
    to_caller = ng.answer("query", "f", "t", phone.sdp())
    found = ng.query("query")
    assert found["totals"]["RTP"] == {"packets": 0, "bytes": 0, "errors": 0}
    media = found["tags"]["f"]["medias"][0]
    assert media["streams"][0]["local port"] == target(to_caller)[1]
    assert media["streams"][0]["endpoint"] == {"family": "IPv4", "address": phone.address, "port": phone.port}
    assert media["streams"][1]["local port"] == target(to_caller)[1] + 1
    assert found["tags"]["t"]["medias"][0]["streams"][0]["local port"] == target(to_callee)[1]
    assert found["tags"]["f"]["in dialogue with"] == "t"
    ng.delete("query", "f")


def test_commands_about_one_call_wait_for_one_another(node, phone):
    """Offer, answer and delete of one call from many sockets at once: each gets an answer, nothing is left."""
    replies = []

    def drive() -> None:
        with node.client(timeout=10, tries=1) as client:
            for _ in range(10):
                for command in ("offer", "answer", "query", "delete"):
                    keys = {"call_id": "crowd", "from_tag": "f", "to_tag": "" if command == "offer" else "t"}
                    replies.append(client.request(command, **keys, sdp=phone.sdp())["result"])

    threads = [threading.Thread(target=drive) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 240
    assert set(replies) <= {"ok", "error"}
    with node.client() as client:
        client.delete("crowd", "f")
    assert _ports_used(node) == 0


def test_nothing_of_ours_stays_in_a_description_towards_a_gateway(ng, phone):
    sdp = phone.sdp("a=vos-crypto:xor kid=k1 salt=00000001")
    assert attribute(ng.offer("strip", "f", sdp, vos_from="ab", vos_to="acme"), "vos-crypto") is None
    ng.delete("strip", "f")
