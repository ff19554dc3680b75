"""What a script asks for beside the SDP: labels for parties, crypto suites, and what is refused with its reason."""

from __future__ import annotations

import re

import pytest
from relay_calls import Node, Phone, g711

from vosctl.relay.ng import NgError


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("wishes") / "edge", "edge")
    node.start()
    yield node
    assert node.ask("status")["calls"] == 0
    node.stop()


@pytest.fixture
def ng(node):
    with node.client(timeout=5, tries=1) as ng:
        yield ng
        ng.request("delete", call_id="c")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"codec": {"transcode": ["PCMU"]}}, "codec: this relay changes no list of codecs and transcodes nothing"),
        ({"codec": {"strip": ["G729"]}}, "codec: "),
        ({"repacketize": 40}, "repacketize: this relay leaves packets as long as they are"),
        ({"T.38": ["decode"]}, "t.38: this relay passes faxes over UDPTL on"),
        ({"ICE": "force"}, "ice=force: this relay takes no part in ICE"),
        ({"flags": ["ICE=force-relay"]}, "ice=force-relay: "),
        ({"SDES": ["unencrypted_srtp"]}, "sdes=unencrypted-srtp: "),
        ({"SDES": "off"}, "sdes=off: SRTP has its keys in the SDP here"),
        ({"transport-protocol": "UDP/TLS/RTP/SAVPF"}, "RTP/AVP cannot be turned into UDP/TLS/RTP/SAVPF"),
        ({"address-family": "IP6"}, "No IPv6 address on this relay"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(ng, phones, keys, told):
    sdp = phones().sdp()
    assert told in ng.request("offer", call_id="c", from_tag="f", sdp=sdp, **keys)["error-reason"]
    assert ng.request("query", call_id="c")["error-reason"] == "Unknown call-id"
    # In an answer it is refused too, and the offer stands.
    if "transport-protocol" not in keys and "address-family" not in keys:
        ng.offer("c", "f", sdp)
        reply = ng.request("answer", call_id="c", from_tag="f", to_tag="t", sdp=sdp, **keys)
        assert told in reply["error-reason"]
        ng.answer("c", "f", "t", sdp)


@pytest.mark.parametrize(
    "keys",
    [
        {"flags": ["strict source", "media handover", "symmetric", "port latching", "loop protect", "reset"]},
        {"ICE": "remove", "DTLS": "passive", "delete delay": 0, "TOS": 184, "ptime": 20, "xmlrpc-callback": "192.0.2.1"},
        {"SDES": ["no-AES_CM_128_HMAC_SHA1_32", "pad"], "T.38": [], "codec": {}, "generate RTCP": "on"},
    ],
)  # fmt: skip
def test_what_changes_nothing_here_is_passed_over(ng, phones, keys):
    sdp = phones().sdp()
    plain = ng.offer("plain", "f", sdp)
    assert re.sub(r"\b2\d{4}\b", "P", ng.offer("c", "f", sdp, **keys)) == re.sub(r"\b2\d{4}\b", "P", plain)
    ng.delete("plain", "f")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"]),
        (["no-AES_CM_128_HMAC_SHA1_32"], ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"]),
        (["only-AEAD_AES_128_GCM"], ["AEAD_AES_128_GCM"]),
    ],
)
def test_the_suites_that_are_offered(ng, phones, words, left):
    offered = ng.offer("c", "f", phones().sdp(), SDES=words, transport_protocol="RTP/SAVP")
    assert re.findall(r"a=crypto:\d (\w+)", offered) == left


def test_no_suite_is_left(ng, phones):
    suites = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"]
    with pytest.raises(NgError, match="SDES: no crypto suite of this relay's is left to offer"):
        ng.offer("c", "f", phones().sdp(), SDES=[f"no-{s}" for s in suites], transport_protocol="RTP/SAVP")


def test_parties_are_known_by_their_labels(node, ng, phones):
    caller, callee = phones(), phones()
    ng.offer("c", "f", caller.sdp(), label="A leg")
    to_caller = ng.answer("c", "f", "t", callee.sdp(), label="B leg")
    to_callee = ng.offer("c", "f", caller.sdp(), to_tag="t")
    ng.answer("c", "f", "t", callee.sdp())
    node.kill("control")
    tags = ng.query("c")["tags"]
    assert {tag: one["label"] for tag, one in tags.items()} == {"f": "A leg", "t": "B leg"}
    assert ng.request("block media", call_id="c", label="B leg") == {"result": "ok"}
    _speak(callee, to_callee)
    _speak(caller, to_caller)
    assert callee.drain(3) == g711(3, seed=1)
    assert caller.silent()


def _speak(phone: Phone, sdp: str) -> None:
    for packet in g711(3, seed=1):
        phone.send(packet, sdp)
