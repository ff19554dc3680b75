"""What a script asks for beyond relaying, driven by Kamailio from INFO requests and proven on the wire."""

from __future__ import annotations

import math
import struct
import wave
from types import SimpleNamespace

import pytest
from endpoint import EVENT, SOUND, Endpoint
from lab import CALLEE, CALLER
from scenario import Callee, Caller

from vosctl.relay.control import wav

pytestmark = [pytest.mark.netns, pytest.mark.requires("kamailio", "sipp", "tcpdump")]

PORT = 40000
AUDIO = (f"m=audio {PORT} RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000", "a=ptime:20")
CALLER_SOUND, CALLEE_SOUND, SILENCE = 0x11, 0x22, 0xD5
CALLER_DIGIT, CALLEE_DIGIT, PLAYED_DIGIT = 1, 2, 5
TONE = 1000
STEPS = (
    "start recording", "block media", "unblock media", "silence media", "unsilence media", "block DTMF",
    "unblock DTMF", "play DTMF", "play media", "stop media", "stop recording",
)  # fmt: skip
EACH = 400
# What left before the answer to an INFO was read is no longer under way after so many seconds.
SETTLED = 0.06


def prompt(path):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(
            b"".join(
                struct.pack("<h", round(9000 * math.sin(2 * math.pi * TONE * n / 8000))) for n in range(40000)
            )
        )
    return path


@pytest.fixture(scope="module")
def call(lab):
    """One call in which every step was asked for; ``heard(side, step)`` is what ``side`` then heard."""
    lab.proxy_up(PROMPT=f'"{prompt(lab.folder / "prompt.wav")}"')
    ends = {
        "caller": Endpoint(lab.caller, CALLER, PORT, sound=CALLER_SOUND, digit=CALLER_DIGIT),
        "callee": Endpoint(lab.callee, CALLEE, PORT, sound=CALLEE_SOUND, digit=CALLEE_DIGIT),
    }

    def talk():
        legs = lab.until(lambda: [c["legs"] for c in lab.ask("calls")["calls"] if c["answered"]])[0]
        for end, leg in zip(ends.values(), legs, strict=True):
            end.there = tuple(leg["local"])

    one = Caller("caller").send("INVITE", AUDIO).answered().send("ACK").wait(EACH)
    for step in STEPS:
        one.ask(step).wait(EACH)
    other = Callee("callee").expect("INVITE").reply("200 OK", AUDIO).settle().bye()
    try:
        played = lab.played(one.bye(), other, during=talk)
    finally:
        for end in ends.values():
            end.close()
        lab.proxy_up()
    answers = [found for found in played.messages["caller"] if not found.sent]
    when = [found.time for found in answers if " INFO\n" in found.text]
    assert len(when) == len(STEPS)

    def heard(side, step):
        begin = when[STEPS.index(step)] + SETTLED
        return ends[side].between(begin, begin + EACH / 1000 - SETTLED)

    return SimpleNamespace(
        heard=heard, when=when, folder=lab.folder, all={s: e.heard for s, e in ends.items()}
    )


def sounds(packets):
    return {packet.payload[0] for packet in packets if packet.payload_type == SOUND}


def events(packets):
    return {packet.payload[0] for packet in packets if packet.payload_type == EVENT}


def test_media_is_blocked_for_the_sender_alone(call):
    heard = call.heard("callee", "block media")
    assert (sounds(heard), events(heard)) == (set(), {CALLER_DIGIT})
    assert sounds(call.heard("caller", "block media")) == {CALLEE_SOUND}
    again = call.heard("callee", "unblock media")
    assert sounds(again) == {CALLER_SOUND}
    assert len(again) > 10


def test_silence_takes_the_place_of_sound(call):
    heard = [
        packet.payload for packet in call.heard("callee", "silence media") if packet.payload_type == SOUND
    ]
    assert len(heard) > 10
    assert set(heard) == {bytes([SILENCE]) * 160}
    assert sounds(call.heard("caller", "silence media")) == {CALLEE_SOUND}
    assert sounds(call.heard("callee", "unsilence media")) == {CALLER_SOUND}


def test_dtmf_is_blocked_and_sound_passes(call):
    heard = call.heard("callee", "block DTMF")
    assert (sounds(heard), events(heard)) == ({CALLER_SOUND}, set())
    assert events(call.heard("caller", "block DTMF")) == {CALLEE_DIGIT}
    assert events(call.heard("callee", "unblock DTMF")) == {CALLER_DIGIT}


def test_a_digit_of_the_relays_own_is_an_event_with_three_ends(call):
    played = [
        struct.unpack("!BBH", packet.payload)
        for packet in call.all["callee"]
        if packet.payload_type == EVENT and packet.payload[0] == PLAYED_DIGIT
    ]
    # RFC 4733 §2.5.1: the duration grows, and the end is told three times.
    assert [duration for *_, duration in played] == sorted(duration for *_, duration in played)
    assert [bits >> 7 for _, bits, _ in played] == [0] * (len(played) - 3) + [1] * 3
    assert played[-1][2] == 1600
    assert not [p for p in call.all["caller"] if p.payload_type == EVENT and p.payload[0] == PLAYED_DIGIT]


def test_a_wav_takes_the_place_of_the_other_party(call):
    table = wav._decoder("pcma")
    heard = [packet.payload for packet in call.heard("caller", "play media")]
    assert len(heard) > 12
    samples = [table[byte] for payload in heard for byte in payload]
    turn = [2 * math.pi * TONE * n / 8000 for n in range(len(samples))]
    power = math.hypot(
        sum(s * math.cos(a) for s, a in zip(samples, turn, strict=True)),
        sum(s * math.sin(a) for s, a in zip(samples, turn, strict=True)),
    )
    assert power > 0.9 * 4500 * len(samples)
    assert sounds(call.heard("callee", "play media")) == {CALLER_SOUND}
    assert sounds(call.heard("caller", "stop media")) == {CALLEE_SOUND}


def recorded(folder):
    """Times and RTP packets in the one recording."""
    (path,) = (folder / "recordings").glob("*.pcap")
    raw, at = path.read_bytes(), 24
    while at < len(raw):
        seconds, micro, kept, _ = struct.unpack_from("<IIII", raw, at)
        yield seconds + micro / 1e6, raw[at + 44 : at + 16 + kept]
        at += 16 + kept


def test_the_recording_holds_both_parties_as_they_spoke_from_start_to_stop(call):
    packets = list(recorded(call.folder))
    begun, ended = call.when[STEPS.index("start recording")], call.when[STEPS.index("stop recording")]
    # The relay has done it a little before sipp reads the answer.
    assert begun - 0.3 < packets[0][0] < begun + 0.1
    assert ended - 0.3 < packets[-1][0] < ended
    for sound in (CALLER_SOUND, CALLEE_SOUND):
        times = [time for time, rtp in packets if rtp[1] & 0x7F == SOUND and rtp[12] == sound]
        assert abs(len(times) - 50 * (ended - begun)) < 12
    assert {rtp[12] for _, rtp in packets if rtp[1] & 0x7F == EVENT} == {CALLER_DIGIT, CALLEE_DIGIT}
