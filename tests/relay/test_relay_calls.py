"""Two real relays joined by a trunk: calls in every mode, through reloads, crashes and refusals."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time

import pytest
from relay_calls import attribute, g711, target, until


@pytest.mark.parametrize("mode", ["none", "xor", "rc4", "aes128"])
def test_a_call_is_bit_exact_both_ways(joined, mode):
    call = joined(mode).place()
    call.talk(150)
    for sdp in (call.to_caller, call.to_callee):
        assert "vos-crypto" not in sdp
        assert target(sdp)[1] % 2 == 0
        assert attribute(sdp, "rtcp") == str(target(sdp)[1] + 1)
    for sdp in (call.trunk_offer, call.trunk_answer):
        if mode == "none":
            assert "vos-crypto" not in sdp
        else:
            assert attribute(sdp, "vos-crypto").startswith(f"{mode} kid=k1 salt=")
    counted = call.delete()
    assert [reply["totals"]["RTP"]["packets"] for reply in counted] == [300, 300]
    assert counted[0]["totals"]["RTP"]["errors"] == 0
    assert call.a.ask("status")["calls"] == call.b.ask("status")["calls"] == 0


def _sniff(raw: socket.socket, source: str, destination: str) -> list[bytes]:
    """The UDP payloads that lay in a raw socket's queue, from one host to another."""
    found = []
    raw.setblocking(False)
    while True:
        try:
            frame, where = raw.recvfrom(65535)
        except BlockingIOError:
            return found
        hosts = socket.inet_ntoa(frame[12:16]), socket.inet_ntoa(frame[16:20])
        if where[2] != socket.PACKET_OUTGOING and frame[9] == 17 and hosts == (source, destination):
            found.append(frame[28:])


@pytest.mark.root
@pytest.mark.parametrize("mode", ["xor", "rc4", "aes128"])
def test_the_trunk_carries_ciphertext(joined, mode):
    call = joined(mode).place()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE: all of the machine talks on lo
        raw.bind(("lo", 0x0800))
        call.talk(50)
        wire = _sniff(raw, call.a.address, call.b.address)
    assert len(wire) == 50
    for clear, cipher in zip(g711(50, seed=1), wire, strict=True):
        assert cipher[:12] == clear[:12]
        assert len(cipher) == len(clear)
        assert cipher[12:] != clear[12:]


def test_rtcp_goes_through_in_the_clear(joined):
    call = joined("aes128").place()
    call.talk(5)
    report = struct.pack("!BBHI", 0x80, 201, 1, 0x1234)
    host, port = target(call.to_caller)
    call.caller.rtcp.sendto(report, (host, port + 1))
    call.callee.rtcp.settimeout(5)
    assert call.callee.rtcp.recv(1500) == report


def test_a_reload_of_both_relays_in_mid_call_loses_nothing(joined):
    call = joined("aes128").place()
    before = call.a.ask("status")

    def reload() -> None:
        for node in (call.a, call.b):
            node.config["rtp_timeout"] = 45
            node.keys["k2"] = "ponmlkjihgfedcba"
            node.config["trunks"]["ab"].update(key="k2", accept=["k2"])
            node.write()
        time.sleep(0.1)
        os.kill(call.a.ask("status")["pid"], signal.SIGHUP)
        assert call.b.ask("reload") == {"ok": True}
        until(lambda: call.a.ask("status")["config_digest"] != before["config_digest"])

    call.talk(400, pace=0.002, during=reload)
    after = call.a.ask("status")
    assert (after["pid"], after["calls"], after["keys"]) == (before["pid"], 1, ["k1", "k2"])
    assert {leg["kid"] for leg in call.a.ask("calls")["calls"][0]["legs"]} == {"", "k1"}
    call.talk(20)


def test_a_call_keeps_its_key_and_the_next_one_takes_the_new(joined, phones):
    call = joined("aes128").place()
    for node in (call.a, call.b):
        node.keys = {"k2": "ponmlkjihgfedcba"}
        node.config["trunks"]["ab"].update(key="k2", accept=["k2"])
        node.write()
        assert node.ask("reload") == {"ok": True}
    first = attribute(call.trunk_offer, "vos-crypto")
    call.place()
    assert attribute(call.trunk_offer, "vos-crypto") == first
    call.talk(20)
    call.call_id = "call-2"
    call.place()
    assert attribute(call.trunk_offer, "vos-crypto").startswith("aes128 kid=k2 ")
    call.talk(20)


def test_media_and_calls_survive_a_killed_control(joined):
    call = joined("rc4").place()
    killed = [node.ask("status")["pid"] for node in (call.a, call.b)]

    def kill() -> None:
        time.sleep(0.1)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    call.talk(400, pace=0.002, during=kill)
    for node, pid in zip((call.a, call.b), killed, strict=True):
        until(lambda node=node, pid=pid: _pid(node) not in {0, pid})
        assert node.ask("status")["calls"] == 1
    before = call.to_caller, call.to_callee
    call.answer()
    assert call.to_caller == before[0]
    call.place()
    assert (call.to_caller, call.to_callee) == before
    call.talk(20)
    assert call.delete()[0]["totals"]["RTP"]["packets"] == 840
    assert call.a.ask("status")["calls"] == 0


def _pid(node) -> int:
    try:
        return node.ask("status")["pid"]
    except Exception:  # the process is between two lives
        return 0


def test_a_killed_media_process_comes_back_and_the_next_offer_restores_the_call(joined):
    call = joined("aes128").place()
    for node in (call.a, call.b):
        pid = node.ask("status")["media"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda node=node, pid=pid: (node.ask("status")["media"]["pid"] or pid) != pid)
    call.place()
    call.talk(20)


def test_a_key_that_the_peer_lacks_is_refused_in_signalling(joined):
    call = joined("aes128")
    call.b.keys = {"k9": "ponmlkjihgfedcba"}
    call.b.config["trunks"]["ab"].update(key="k9", accept=["k9"])
    call.b.write()
    assert call.b.ask("reload") == {"ok": True}
    with pytest.raises(Exception, match=r"vos-crypto: trunk `ab`: key `k1` is not accepted here \(k9\)"):
        call.offer()
    assert "key `k1` is not accepted here" in call.b.log()
    assert call.b.ask("status")["calls"] == 0
    assert call.a.ask("status")["calls"] == 1


def test_a_mode_that_differs_is_refused_in_signalling(joined):
    call = joined("aes128")
    call.b.config["trunks"]["ab"]["mode"] = "rc4"
    call.b.write()
    assert call.b.ask("reload") == {"ok": True}
    with pytest.raises(Exception, match="vos-crypto: trunk `ab` is rc4 here, the peer signals aes128"):
        call.offer()


def test_an_answer_with_a_foreign_key_is_refused_and_the_offer_stands(joined):
    call = joined("aes128")
    call.offer()
    with pytest.raises(Exception, match="key `other` is not accepted"):
        call.at_a.answer(
            call.call_id, "from", "to", call.callee.sdp("a=vos-crypto:aes128 kid=other salt=00000001")
        )
    call.answer()
    call.talk(20)


def test_a_peer_that_signals_nothing_gets_the_current_key_and_no_salt(joined):
    call = joined("aes128")
    call.trunk_offer = call.at_a.offer(call.call_id, "from", call.caller.sdp(), **call.a_names)
    bare = "\r\n".join(line for line in call.trunk_offer.split("\r\n") if "vos-crypto" not in line)
    call.to_callee = call.at_b.offer(call.call_id, "from", bare, **call.b_names)
    answer = call.at_b.answer(call.call_id, "from", "to", call.callee.sdp(), **call.b_names)
    assert attribute(answer, "vos-crypto") == "aes128 kid=k1 salt=00000000"
    bare = "\r\n".join(line for line in answer.split("\r\n") if "vos-crypto" not in line)
    call.to_caller = call.at_a.answer(call.call_id, "from", "to", bare)
    call.talk(20)


def test_two_keys_under_one_name_are_suspected_and_named_in_the_log(joined):
    call = joined("aes128")
    call.b.keys = {"k1": "fedcba9876543210"}
    call.b.write()
    assert call.b.ask("reload") == {"ok": True}
    call.place()
    for packet in g711(150, seed=1):
        call.caller.send(packet[:12] + b"\xd5" * 160, call.to_caller)
        time.sleep(0.001)
    until(lambda: "suspected key mismatch from `ab`, aes128 with key `k1`" in call.b.log())
    assert "suspected" not in call.a.log()


def test_stop_leaves_no_process_and_no_socket(joined):
    call = joined("none").place()
    for node in (call.a, call.b):
        status = node.ask("status")
        node.stop()
        for pid in (status["pid"], status["media"]["pid"]):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert not [path for path in node.paths.run.iterdir() if path.is_socket()]
        assert not node.paths.pidfile.exists()
