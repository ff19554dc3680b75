"""Recording, blocks, silence, digits and played sound, asked for over NG and heard by real phones."""

from __future__ import annotations

import base64
import io
import math
import os
import re
import signal
import struct
import time
import wave

import pytest
from pylibsrtp import Policy, Session
from relay_calls import Node, Phone, g711, target, until

from vosctl.relay.control import wav
from vosctl.relay.ng import NgError

PCMA_SILENCE = b"\xd5" * 160


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("features") / "edge", "edge")
    node.config["recordings"] = str(node.root / "recordings")
    node.start()
    yield node
    assert node.ask("status")["calls"] == 0
    node.stop()


class Talk:
    """A call between two phones, with a word for each side's packets."""

    def __init__(self, node: Node, name: str, *, types: str = "8 0 101") -> None:
        self.node, self.name = node, name
        self.caller, self.callee = Phone(), Phone()
        self.ng = node.client(timeout=5, tries=1)
        self.to_callee = self.ng.offer(name, "f", self.caller.sdp(types=types))
        self.to_caller = self.ng.answer(name, "f", "t", self.callee.sdp(types=types))

    def ask(self, command: str, **keys) -> dict:
        reply = self.ng.request(command, call_id=self.name, **keys)
        if reply["result"] != "ok":
            raise NgError(command, reply["error-reason"])
        return reply

    def pass_on(self, packets: list[bytes], *, to: str = "callee") -> list[bytes]:
        """What arrives of ``packets`` sent to ``to``; a last one that passes anyhow marks the end."""
        source, sink, sdp = (
            (self.caller, self.callee, self.to_caller)
            if to == "callee"
            else (self.callee, self.caller, self.to_callee)
        )
        before = self.counters()
        for packet in packets:
            source.send(packet, sdp)
        until(lambda: self.counters() >= before + len(packets))
        sink.got = []
        while not sink.silent():
            pass
        return sink.got

    def counters(self) -> int:
        return self.ng.query(self.name)["totals"]["RTP"]["packets"]

    def close(self) -> None:
        self.ng.request("delete", call_id=self.name, from_tag="f")
        for one in (self.caller, self.callee, self.ng):
            one.close()


@pytest.fixture
def talk(node):
    made = []

    def make(name, **options):
        made.append(Talk(node, name, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def event(count=4):
    return [packet[:12] + bytes((5, 10, 0, 160)) for packet in g711(count, seed=9, payload_type=101)]


def test_media_is_blocked_for_one_party_and_dtmf_passes(talk):
    call = talk("block")
    sent = g711(5, seed=1)
    assert call.ask("block media", from_tag="f") == {"result": "ok"}
    assert call.pass_on(sent) == []
    assert call.pass_on(sent, to="caller") == sent
    assert call.pass_on(event()) == event()
    call.ask("unblock media", from_tag="f")
    assert call.pass_on(sent) == sent


def test_without_a_tag_both_parties_are_blocked(talk):
    call = talk("both")
    call.ask("block media")
    assert call.pass_on(g711(3, seed=1)) == call.pass_on(g711(3, seed=2), to="caller") == []
    call.ask("unblock media")
    assert call.pass_on(g711(3, seed=1)) == g711(3, seed=1)


def test_dtmf_is_blocked_and_sound_passes(talk):
    call = talk("dtmf")
    call.ask("block DTMF", address=call.caller.address)
    assert call.pass_on(event()) == []
    assert call.pass_on(g711(3, seed=1)) == g711(3, seed=1)
    assert call.pass_on(event(), to="caller") == event()
    call.ask("unblock DTMF")
    assert call.pass_on(event()) == event()


@pytest.mark.parametrize(("payload_type", "silence"), [(8, b"\xd5"), (0, b"\xff")])
def test_silence_takes_the_place_of_sound(talk, payload_type, silence):
    call = talk(f"silence-{payload_type}")
    sent = g711(5, seed=1, payload_type=payload_type)
    call.ask("silence media", from_tag="f")
    assert call.pass_on(sent) == [packet[:12] + silence * 160 for packet in sent]
    call.ask("unsilence media", from_tag="f")
    assert call.pass_on(sent) == sent


def test_a_block_holds_through_a_re_invite_and_a_killed_control(talk, node):
    call = talk("hold")
    call.ask("block media", from_tag="f")
    pid = node.ask("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _status(node).get("pid", pid) != pid)
    call.ng.offer("hold", "f", call.caller.sdp(), to_tag="t")
    call.ng.answer("hold", "f", "t", call.callee.sdp())
    assert call.pass_on(g711(3, seed=1)) == []
    call.ask("unblock media", from_tag="f")
    assert call.pass_on(g711(3, seed=1)) == g711(3, seed=1)


def _status(node):
    try:
        return node.ask("status")
    except Exception:  # between two lives
        return {}


def test_digits_take_the_place_of_sound_as_one_unbroken_stream(talk):
    call = talk("dial")
    call.ask("play DTMF", from_tag="f", code="7", duration=100, volume=10)
    sent = g711(20, seed=1)
    got = call.pass_on(sent)
    assert [packet[2:4] for packet in got] == [packet[2:4] for packet in sent]
    assert {packet[8:12] for packet in got} == {sent[0][8:12]}
    events = [packet for packet in got if packet[1] & 0x7F == 101]
    assert [packet[1] >> 7 for packet in events] == [1, *[0] * (len(events) - 1)]
    assert {packet[4:8] for packet in events} == {sent[0][4:8]}
    reports = [struct.unpack("!BBH", packet[12:]) for packet in events]
    # RFC 4733 §2.5.1: the duration grows, and the end is told three times.
    assert reports == [(7, 10, 160 * n) for n in range(1, 5)] + [(7, 138, 800)] * 3
    assert got[7:] == sent[7:]


def test_several_digits_have_pauses_between_them(talk):
    call = talk("dials")
    call.ask("play DTMF", from_tag="t", digits="1#", duration=100, pause=100)
    sent = g711(40, seed=1)
    got = call.pass_on(sent, to="caller")
    codes = [packet[12] if packet[1] & 0x7F == 101 else None for packet in got]
    assert codes == [1] * 7 + [None] * 3 + [11] * 7 + [None] * 23
    assert got[17:] == sent[17:]


def _power(samples, tone):
    turn = [2 * math.pi * tone * n / 8000 for n in range(len(samples))]
    real = sum(s * math.cos(a) for s, a in zip(samples, turn, strict=True))
    imaginary = sum(s * math.sin(a) for s, a in zip(samples, turn, strict=True))
    return (real**2 + imaginary**2) / len(samples) ** 2


def test_without_telephone_event_digits_are_tones(talk):
    call = talk("tones", types="8 0")
    call.ask("play DTMF", from_tag="f", code="5", duration=100)
    sent = [packet[:12] + PCMA_SILENCE for packet in g711(12, seed=1)]
    got = call.pass_on(sent)
    assert [packet[:12] for packet in got] == [packet[:12] for packet in sent]
    table = wav._decoder("pcma")
    samples = [table[byte] for packet in got[:5] for byte in packet[12:]]
    heard = {tone: _power(samples, tone) for tone in (697, 770, 852, 941, 1209, 1336, 1477, 1633)}
    assert sorted(heard, key=heard.get)[-2:] in ([770, 1336], [1336, 770])
    assert got[10:] == sent[10:]


def _wave(seconds, *, rate=8000, channels=1, tone=1000):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        samples = [round(8000 * math.sin(2 * math.pi * tone * n / rate)) for n in range(int(seconds * rate))]
        out.writeframes(b"".join(struct.pack("<h", s) * channels for s in samples))
    return file.getvalue()


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1)])
def test_a_wav_is_heard_by_the_party_in_place_of_the_other(talk, node, rate, channels):
    call = talk(f"play-{rate}")
    path = node.root / f"{rate}.wav"
    path.write_bytes(_wave(0.4, rate=rate, channels=channels))
    assert call.ask("play media", from_tag="f", file=str(path)) == {"result": "ok", "duration": 400}
    call.callee.send(g711(1, seed=3)[0], call.to_callee)
    got = call.caller.drain(20, 3)
    assert len(got) == 20
    first, *rest = [struct.unpack("!BBHII", packet[:12]) for packet in got]
    assert (first[1], {head[1] for head in rest}) == (0x88, {8})
    assert {head[4] for head in rest} == {first[4]}
    assert [head[2] for head in rest] == [(first[2] + n) % 2**16 for n in range(1, 20)]
    assert [head[3] for head in rest] == [(first[3] + 160 * n) % 2**32 for n in range(1, 20)]
    table = wav._decoder("pcma")
    samples = [table[byte] for packet in got[:-1] for byte in packet[12:]]
    assert _power(samples, 1000) > 0.9 * (8000 / 2) ** 2
    until(lambda: call.pass_on(g711(2, seed=4), to="caller") == g711(2, seed=4))
    assert call.pass_on(g711(2, seed=4)) == g711(2, seed=4)


def test_a_wav_in_the_message_itself_is_heard_too(talk):
    call = talk("blob")
    sound = _wave(0.2).decode("utf-8", "surrogateescape")
    assert call.ask("play media", from_tag="f", blob=sound, repeat_times=2) == {
        "result": "ok",
        "duration": 400,
    }
    got = call.caller.drain(20, 3)
    assert len(got) == 20
    table = wav._decoder("pcma")
    samples = [table[byte] for packet in got for byte in packet[12:]]
    assert _power(samples, 1000) > 0.9 * (8000 / 2) ** 2
    with pytest.raises(NgError, match="not a WAV file"):
        call.ask("play media", from_tag="f", blob="no sound at all")


SUITE = "AES_CM_128_HMAC_SHA1_80"
INLINE = base64.b64encode(bytes(range(30))).decode()


def test_an_srtp_party_hears_a_wav_digits_and_silence_as_srtp(node):
    """libsrtp2 takes all that the relay makes of its own, in one stream of its own and in the other party's."""
    caller, callee = Phone(), Phone()
    secure = caller.sdp(f"a=crypto:1 {SUITE} inline:{INLINE}").replace("RTP/AVP", "RTP/SAVP")
    with node.client(timeout=5, tries=1) as ng:
        to_callee = ng.offer("srtp", "f", secure, transport_protocol="RTP/AVP")
        answer = ng.answer("srtp", "f", "t", callee.sdp())
        mine = re.search("a=crypto:1 .* inline:(.*)\r", answer)[1]
        receiver = Session(Policy(key=base64.b64decode(mine), ssrc_type=Policy.SSRC_ANY_INBOUND))
        sender = Session(Policy(key=base64.b64decode(INLINE), ssrc_type=Policy.SSRC_ANY_OUTBOUND))

        def ask(command, **keys):
            reply = ng.request(command, call_id="srtp", **keys)
            assert reply["result"] == "ok", reply

        def heard(count):
            caller.got = []
            return [receiver.unprotect(packet) for packet in caller.drain(count, 3)]

        ask("play media", from_tag="f", blob=_wave(0.2).decode("utf-8", "surrogateescape"))
        table = wav._decoder("pcma")
        samples = [table[byte] for packet in heard(10) for byte in packet[12:]]
        assert len(samples) == 1600
        assert _power(samples, 1000) > 0.9 * (8000 / 2) ** 2
        ask("stop media", from_tag="f")
        ask("silence media", from_tag="t")
        sent = g711(20, seed=1)
        for packet in sent[:3]:
            callee.send(packet, to_callee)
        assert heard(3) == [packet[:12] + PCMA_SILENCE for packet in sent[:3]]
        ask("unsilence media", from_tag="t")
        ask("play DTMF", from_tag="t", code="7", duration=100)
        for packet in sent[3:]:
            callee.send(packet, to_callee)
        got = heard(17)
        assert [packet[2:4] for packet in got] == [packet[2:4] for packet in sent[3:]]
        assert {packet[12] for packet in got if packet[1] & 0x7F == 101} == {7}
        ask("start recording")
        caller.send(sender.protect(sent[0]), answer)
        assert callee.drain(1) == [sent[0]]
        ask("stop recording")
        (path,) = (node.root / "recordings").glob("srtp-*.pcap")
        assert [packet[28:] for packet in until(lambda: _pcap(path))] == [sent[0]]
        ng.delete("srtp", "f")
    caller.close()
    callee.close()


def test_played_sound_can_be_stopped(talk, node):
    call = talk("stop")
    path = node.root / "long.wav"
    path.write_bytes(_wave(5))
    call.ask("play media", from_tag="t", file=str(path), repeat_times="20")
    call.callee.drain(3)
    call.ask("stop media", from_tag="t")
    time.sleep(0.1)
    while not call.callee.silent():
        pass
    assert call.pass_on(g711(3, seed=4)) == g711(3, seed=4)


@pytest.mark.parametrize(
    ("command", "keys", "reason"),
    [
        ("block media", {"label": "nobody"}, "No party with this tag, address or label in the call"),
        ("block media", {"from_tag": "nobody"}, "No party with this tag, address or label in the call"),
        ("play media", {}, "no file and no blob in message"),
        ("play media", {"file": "/nonexistent.wav"}, "/nonexistent.wav: No such file or directory"),
        ("play media", {"file": "/dev/zero"}, "/dev/zero: not a regular file"),
        ("play media", {"file": "/etc/passwd"}, "not a WAV file"),
        ("play DTMF", {"code": "1"}, "no from-tag, address or label says who dials"),
        ("play DTMF", {"from_tag": "f", "code": "x"}, "code: must be 0 to 15"),
        ("play DTMF", {"from_tag": "f", "code": "1", "duration": "9999999"}, "duration: must be 100 to 5000"),
        ("start forwarding", {}, "start-forwarding: this relay forwards to nobody"),
    ],
)
def test_refusals(talk, command, keys, reason):
    call = talk("refused")
    with pytest.raises(NgError, match=reason):
        call.ask(command, **keys)
    assert call.pass_on(g711(3, seed=1)) == g711(3, seed=1)


@pytest.mark.parametrize(
    "command", ["block media", "start recording", "stop recording", "play media", "play DTMF"]
)
def test_an_unknown_call_is_told_so(node, command):
    with node.client(timeout=5, tries=1) as ng:
        reply = ng.request(command, call_id="none", from_tag="f", code="1")
    assert reply == {"result": "error", "error-reason": "Unknown call-id"}


def _pcap(path):
    raw, at, packets = path.read_bytes(), 24, []
    assert struct.unpack_from("<IHH", raw) == (0xA1B2C3D4, 2, 4)
    while at < len(raw):
        _, _, size, _ = struct.unpack_from("<IIII", raw, at)
        packets.append(raw[at + 16 : at + 16 + size])
        at += 16 + size
    return packets


def test_a_call_is_recorded_from_start_to_stop(talk, node):
    call = talk("record/../me")
    unheard, heard, back = g711(3, seed=1), g711(30, seed=2), g711(30, seed=3)
    call.pass_on(unheard)
    call.ask("start recording")
    call.pass_on(heard)
    call.pass_on(back, to="caller")
    call.ask("stop recording")
    call.pass_on(unheard)
    (path,) = (node.root / "recordings").glob("record%2F..%2Fme-*.pcap")
    assert path.stat().st_mode & 0o777 == 0o600
    packets = until(lambda: len(_pcap(path)) >= 60 and _pcap(path))
    assert [packet[28:] for packet in packets] == heard + back
    for packet, (near, far) in (
        (packets[0], (call.caller.rtp.getsockname(), target(call.to_caller))),
        (packets[-1], (call.callee.rtp.getsockname(), target(call.to_callee))),
    ):
        assert struct.unpack("!HH", packet[20:24]) == (near[1], far[1])
        assert ".".join(map(str, packet[12:16])) == near[0]
        assert sum(struct.unpack("!10H", packet[:20])) % 0xFFFF == 0


def test_a_recording_ends_with_its_call_and_another_call_is_not_in_it(talk, node):
    call, other = talk("ends"), talk("other")
    call.ask("start recording")
    call.pass_on(g711(5, seed=1))
    other.pass_on(g711(5, seed=2))
    call.ng.request("delete", call_id="ends", from_tag="f")
    (path,) = (node.root / "recordings").glob("ends-*.pcap")
    until(lambda: len(_pcap(path)) == 5)
    assert [packet[28:] for packet in _pcap(path)] == g711(5, seed=1)


def test_recording_is_refused_where_no_folder_is_set(nodes, phones):
    node = nodes("bare")
    node.start()
    with node.client(timeout=5, tries=1) as ng:
        ng.offer("c", "f", phones().sdp())
        reply = ng.request("start recording", call_id="c")
        ng.delete("c", "f")
    assert reply["result"] == "error"
    assert "set `recordings`" in reply["error-reason"]
