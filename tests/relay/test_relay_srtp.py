"""SRTP telephones and trunks on the real relay; Debian's rtpengine and libsrtp2 are the other side."""

from __future__ import annotations

import base64
import os
import re
import signal
import struct
import subprocess
import time
from contextlib import contextmanager

import pytest
from monitoring import get, samples
from pylibsrtp import Policy, Session
from relay_calls import address, attribute, g711, target, until

from vosctl.relay.media.plane import SUITES
from vosctl.relay.ng import NgClient, NgError

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
}
KEY = base64.b64encode(bytes(range(30))).decode()


def session(suite, key, kind):
    return Session(Policy(key=base64.b64decode(key), ssrc_type=kind, srtp_profile=PROFILES[suite]))


def cryptos(sdp):
    """Tag, suite and key of every a=crypto."""
    return re.findall(r"^a=crypto:(\d+) (\w+) inline:([A-Za-z0-9+/=]+)\r?$", sdp, re.MULTILINE)


def savp(sdp, *lines):
    """The description of an SRTP telephone."""
    secure = sdp.replace("RTP/AVP", "RTP/SAVP")
    return secure + "".join(f"a=crypto:{line}\r\n" for line in lines)


@pytest.fixture
def relay(nodes):
    node = nodes("edge")
    node.start()
    with node.client() as client:
        yield client


def talk(sender, receiver, sdp, *, protect=bytes, unprotect=bytes, seed=1, count=60):
    """Send through a relay that ``sdp`` names; all must arrive as it was."""
    sent = g711(count, seed=seed)
    receiver.got = []
    for packet in sent:
        sender.send(protect(packet), sdp)
        assert len(receiver.drain(len(receiver.got) + 1, 2.0)) == sent.index(packet) + 1
    assert [unprotect(packet) for packet in receiver.got] == sent


@pytest.mark.parametrize("suite", SUITES)
def test_an_srtp_telephone_calls_a_plain_one(relay, phones, suite):
    caller, callee = phones(), phones()
    key = base64.b64encode(bytes(range(SUITES[suite]))).decode()
    offer = savp(caller.sdp(), "9 AES_256_CM_HMAC_SHA1_80 inline:" + "A" * 62, f"4 {suite} inline:{key}|2^31")
    to_callee = relay.offer("c", "f", offer, transport_protocol="RTP/AVP")
    assert " RTP/AVP " in to_callee
    assert "a=crypto" not in to_callee
    to_caller = relay.answer("c", "f", "t", callee.sdp())
    ((tag, chosen, mine),) = cryptos(to_caller)
    assert (tag, chosen) == ("4", suite)
    assert mine != key
    talk(caller, callee, to_caller, protect=session(suite, key, Policy.SSRC_ANY_OUTBOUND).protect)
    talk(callee, caller, to_callee, unprotect=session(suite, mine, Policy.SSRC_ANY_INBOUND).unprotect)


def test_a_plain_telephone_calls_an_srtp_one_that_chooses(relay, phones):
    caller, callee = phones(), phones()
    to_callee = relay.offer("c", "f", caller.sdp(), transport_protocol="RTP/SAVP")
    offered = cryptos(to_callee)
    assert [suite for _, suite, _ in offered] == list(SUITES)
    assert len({key for *_, key in offered}) == len(SUITES)
    tag, suite, mine = offered[1]
    to_caller = relay.answer("c", "f", "t", savp(callee.sdp(), f"{tag} {suite} inline:{KEY}"))
    assert "SAVP" not in to_caller
    assert "a=crypto" not in to_caller
    talk(caller, callee, to_caller, unprotect=session(suite, mine, Policy.SSRC_ANY_INBOUND).unprotect)
    talk(callee, caller, to_callee, protect=session(suite, KEY, Policy.SSRC_ANY_OUTBOUND).protect)


def test_keys_stay_through_a_reinvite_and_a_new_one_counts_from_the_answer(relay, phones):
    caller, callee = phones(), phones()
    suite = "AES_CM_128_HMAC_SHA1_80"
    relay.offer("c", "f", savp(caller.sdp(), f"1 {suite} inline:{KEY}"), transport_protocol="RTP/AVP")
    first = relay.answer("c", "f", "t", callee.sdp())
    before = session(suite, KEY, Policy.SSRC_ANY_OUTBOUND)
    talk(caller, callee, first, protect=before.protect)
    new = base64.b64encode(bytes(range(100, 130))).decode()
    again = savp(caller.sdp(), f"1 {suite} inline:{new}")
    relay.offer("c", "f", again, to_tag="t", transport_protocol="RTP/AVP")
    talk(caller, callee, first, protect=before.protect, seed=2)
    second = relay.answer("c", "f", "t", callee.sdp())
    assert cryptos(second) == cryptos(first)
    after = session(suite, new, Policy.SSRC_ANY_OUTBOUND)
    talk(caller, callee, second, protect=after.protect, seed=3)


def test_what_cannot_be_done_is_refused_with_the_reason(relay, phones):
    caller, callee = phones(), phones()
    for line in (
        "1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4",
    ):
        with pytest.raises(NgError, match="No a=crypto that this relay can do"):
            relay.offer("c", "f", savp(caller.sdp(), line), transport_protocol="RTP/AVP")
    to_callee = relay.offer("d", "f", caller.sdp(), transport_protocol="RTP/SAVP")
    assert cryptos(to_callee)
    with pytest.raises(NgError, match="no a=crypto for a tag and suite"):
        relay.answer("d", "f", "t", callee.sdp())


def test_an_srtp_trunk_needs_no_key_and_carries_calls(joined):
    call = joined("srtp").place()
    call.talk(100)
    for sdp in (call.trunk_offer, call.trunk_answer):
        assert " RTP/SAVP " in sdp
        assert cryptos(sdp)
    for sdp in (call.to_callee, call.to_caller):
        assert " RTP/AVP " in sdp
        assert not cryptos(sdp)
    legs = [leg for listed in call.a.ask("calls")["calls"] for leg in listed["legs"]]
    assert [leg["mode"] for leg in legs] == ["none", "srtp"]
    assert not any(key in str(legs) for *_, key in cryptos(call.trunk_offer))


@pytest.mark.parametrize("mode", ["none", "xor", "rc4", "aes128", "srtp"])
def test_srtp_telephones_at_both_ends_of_a_trunk(joined, mode):
    """libsrtp2, relay, trunk, relay, libsrtp2: every suite over every encryption, both ways."""
    call = joined(mode)
    wanted = {"transport_protocol": "RTP/SAVP"}
    for number, suite in enumerate(SUITES):
        name = f"c{number}"
        keys = [base64.b64encode(bytes(range(n, n + SUITES[suite]))).decode() for n in (0, 100)]
        trunk = call.at_a.offer(
            name, "f", savp(call.caller.sdp(), f"1 {suite} inline:{keys[0]}"), **call.a_names
        )
        assert (" RTP/SAVP " in trunk) is (mode == "srtp" or mode == "none")
        to_callee = call.at_b.offer(name, "f", trunk, **wanted, **call.b_names)
        tag, _, to_there = next(found for found in cryptos(to_callee) if found[1] == suite)
        answer = savp(call.callee.sdp(types="8 101"), f"{tag} {suite} inline:{keys[1]}")
        back = call.at_b.answer(name, "f", "t", answer, **{**call.b_names, "received_from": None})
        to_caller = call.at_a.answer(name, "f", "t", back, **{**call.a_names, "received_from": None})
        ((_, chosen, to_here),) = cryptos(to_caller)
        assert chosen == suite
        outgoing = [session(suite, key, Policy.SSRC_ANY_OUTBOUND).protect for key in keys]
        incoming = [session(suite, key, Policy.SSRC_ANY_INBOUND).unprotect for key in (to_there, to_here)]
        talk(call.caller, call.callee, to_caller, protect=outgoing[0], unprotect=incoming[0], count=20)
        talk(
            call.callee, call.caller, to_callee, protect=outgoing[1], unprotect=incoming[1], seed=2, count=20
        )
        for node in (call.a, call.b):
            (found,) = (one for one in node.ask("calls")["calls"] if one["call-id"] == name)
            modes = {leg["name"]: (leg["mode"], leg["tx_mode"]) for leg in found["legs"]}
            trunk_mode = "srtp" if mode == "none" else mode
            assert modes.pop("ab") == (trunk_mode, trunk_mode)
            assert list(modes.values()) == [("srtp", "srtp")]
        assert not [key for key in keys if key in call.a.log() + call.b.log()]


def test_a_telephone_that_has_long_been_talking_is_heard_after_a_restart_of_media(nodes, phones):
    """Beyond 65,536 packets the rollover counter is not 0, and the new media process cannot know it."""
    node, caller, callee = nodes("edge"), phones(), phones()
    node.start()
    suite = "AES_CM_128_HMAC_SHA1_80"
    offer = savp(caller.sdp(), f"1 {suite} inline:{KEY}")
    plain = {"transport_protocol": "RTP/AVP"}
    sender = session(suite, KEY, Policy.SSRC_ANY_OUTBOUND)
    with node.client() as ng:
        ng.offer("c", "f", offer, **plain)
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        talk(caller, callee, to_caller, protect=sender.protect, count=5)
        pid = node.ask("status")["media"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: (node.ask("status")["media"]["pid"] or pid) != pid)
        ng.offer("c", "f", offer, to_tag="t", **plain)
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        first = g711(1, seed=1)[0]
        heard = 0
        for number in range(0, 1_300_000, 30000):  # seven hours of talking, in steps that libsrtp2 follows
            sender.protect(numbered(first, number))
        for number in range(1_300_000, 1_300_060):
            packet = numbered(first, number)
            caller.send(sender.protect(packet), to_caller)
            callee.got = []
            heard += callee.drain(1, 0.2 if heard == 0 else 2.0) == [packet]
        # Nineteen counters, eight tried on each packet: the third one finds its own.
        assert heard == 58
        leg = legs(node)[0]
        assert (leg["unauthentic"], leg["key_mismatch"]) == (2, False)


def numbered(packet, index):
    return packet[:2] + struct.pack("!H", index % 65536) + packet[4:]


def test_a_wrong_srtp_key_is_named_in_calls_metrics_and_log_within_three_seconds(nodes, phones):
    node, caller, callee = nodes("edge"), phones(), phones()
    node.config["metrics"] = {"listen": [node.address, 9110]}
    node.gateway("acme", caller.address)
    node.start()
    suite = "AES_CM_128_HMAC_SHA1_80"
    wrong = session(suite, base64.b64encode(bytes(range(50, 80))).decode(), Policy.SSRC_ANY_OUTBOUND)
    offer = savp(caller.sdp(), f"1 {suite} inline:{KEY}")
    with node.client() as ng:
        ng.offer("c", "f", offer, transport_protocol="RTP/AVP", vos_from="acme")
        to_caller = ng.answer("c", "f", "t", callee.sdp())
        began = time.monotonic()
        for packet in g711(60, seed=1):
            caller.send(wrong.protect(packet), to_caller)
            time.sleep(0.02)
        until(lambda: f"call c: suspected key mismatch from `acme`, srtp with key `{suite}`" in node.log())
        assert time.monotonic() - began < 3
        leg = until(lambda: [leg for leg in legs(node) if leg["key_mismatch"]])[0]
        assert (leg["name"], leg["unauthentic"], leg["packets"]) == ("acme", 60, 0)
        found = samples(get(node)[1])
        assert found['vosctl_relay_key_mismatch_total{peer="acme"}'] == 1
        assert found['vosctl_relay_unauthentic_packets_total{peer="acme"}'] == 60
        assert callee.silent()
        # The right key ends the suspicion.
        right = session(suite, KEY, Policy.SSRC_ANY_OUTBOUND)
        talk(caller, callee, to_caller, protect=right.protect, seed=2, count=5)
        assert not any(leg["key_mismatch"] for leg in legs(node))


def legs(node):
    return node.ask("calls")["calls"][0]["legs"]


def test_an_srtp_trunk_takes_no_plain_offer(nodes, phones):
    node, caller = nodes("edge"), phones()
    node.trunk("ab", caller.address, "srtp")
    node.start()
    with (
        node.client() as client,
        pytest.raises(NgError, match="trunk `ab` is srtp here, the peer offers RTP/AVP"),
    ):
        client.offer("c", "f", caller.sdp(), vos_from="ab", received_from=["IP4", caller.address])


@contextmanager
def rtpengine():
    """Debian's daemon on a loopback address of its own, in userspace."""
    host = address()
    command = [
        "rtpengine", "--config-file=none", "--foreground", "--table=-1", f"--interface={host}",
        f"--listen-ng={host}:2223", "--port-min=30000", "--port-max=30999", "--log-stderr", "--log-level=3",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with NgClient((host, 2223), timeout=0.5) as client:
            until(lambda: _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(20)


def _answers(client):
    try:
        client.ping()
    except (NgError, OSError):
        time.sleep(0.1)
        return False
    return True


@pytest.mark.parametrize("suite", SUITES)
def test_rtpengine_is_the_other_side(relay, phones, suite):
    """Plain telephone, this relay, SRTP, rtpengine, plain telephone; the proxy between leaves one suite."""
    caller, callee = phones(), phones()
    with rtpengine() as other:
        offer = relay.offer("c", "f", caller.sdp(), transport_protocol="RTP/SAVP")
        only = "\r\n".join(
            line for line in offer.split("\r\n") if not line.startswith("a=crypto") or f" {suite} " in line
        )
        to_callee = other.offer("c", "f", only, transport_protocol="RTP/AVP")
        answer = other.answer("c", "f", "t", callee.sdp())
        assert attribute(answer, "crypto").split()[1] == suite
        to_caller = relay.answer("c", "f", "t", answer)
        assert target(to_callee)[0] != target(to_caller)[0]
        talk(caller, callee, to_caller, seed=1)
        talk(callee, caller, to_callee, seed=2)
