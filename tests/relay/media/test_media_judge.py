"""Suspected key mismatch: every wrong key on audible speech is found in one window, and no sound is ever accused."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sounds
import wire_reference
from media_driver import Media, Phone
from wire_reference import packet

Phones = Callable[..., Phone]
ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
REFERENCE = wire_reference.script().transform


def payloads(data: bytes, size: int = sounds.SIZE) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.fixture
def judge(dataplane: Any) -> Iterator[Callable[..., list[int]]]:
    """Gives all verdicts on a stream: 1 wrong, 0 sound."""
    dataplane.vos_judge_new.restype = ctypes.c_void_p
    dataplane.vos_judge_free.argtypes = [ctypes.c_void_p]
    made = []

    def verdicts(stream: Iterator[bytes], pt: int = 8) -> list[int]:
        made.append(ctypes.c_void_p(dataplane.vos_judge_new()))
        said = [dataplane.vos_judge_packet(made[-1], pt, 1, one, ctypes.c_size_t(len(one))) for one in stream]
        return [one for one in said if one != -1]

    yield verdicts
    for one in made:
        dataplane.vos_judge_free(one)


@pytest.mark.parametrize("pt", [8, 0], ids=["alaw", "ulaw"])
@pytest.mark.parametrize("seed", range(3))
def test_no_sound_is_accused(judge: Callable[..., list[int]], pt: int, seed: int) -> None:
    accused = []
    for name, data in sounds.encoded(seed, pt).items():
        for size in (80, 160, 240):
            stream = list(payloads(data, size))
            while len(stream) < 100:
                stream *= 2
            if judge(iter(stream), pt) != [0]:
                accused.append((name, size))
    assert not accused


@pytest.mark.parametrize("pt", [8, 0], ids=["alaw", "ulaw"])
@pytest.mark.parametrize("mode", ["rc4", "aes128"])
def test_a_wrong_strong_key_is_found_whatever_the_sound(
    judge: Callable[..., list[int]], pt: int, mode: str
) -> None:
    key = wire_reference.KEYS[mode][0].encode()
    for name, data in sounds.encoded(1, pt).items():
        whole = (packet(one, seq=n, ts=160 * n) for n, one in enumerate(payloads(data)))
        assert judge((REFERENCE(mode, key, bytes(4), one)[12:] for one in whole), pt) == [1], name


@pytest.mark.parametrize("pt", [8, 0], ids=["alaw", "ulaw"])
def test_a_wrong_xor_key_is_found_in_speech(judge: Callable[..., list[int]], pt: int) -> None:
    """Two unlike keys of 7 to 40 characters, or a key where there should be none, on a line that is never quite still."""
    found = tried = 0
    for seed in range(30):
        chance = random.Random(seed)
        speech = sounds.encode([a + chance.gauss(0, 20) for a in sounds.speech(chance)], pt)
        keys = [bytes(chance.choices(ALPHABET, k=chance.randrange(7, 41))) for _ in range(2)]
        if seed % 3 == 0:
            keys.pop()
        stream = payloads(speech)
        for key in keys:
            stream = [REFERENCE("xor", key, bytes(4), packet(one))[12:] for one in stream]
        found += judge(iter(stream), pt) == [1]
        tried += 1
    assert found >= 0.95 * tried


def test_other_codecs_are_not_judged(judge: Callable[..., list[int]]) -> None:
    chance = random.Random(1)
    assert judge((chance.randbytes(20) for _ in range(1000)), pt=18) == []


def test_a_verdict_rests_on_a_hundred_packets_and_comes_again_each_minute(
    judge: Callable[..., list[int]],
) -> None:
    chance = random.Random(1)
    assert judge(chance.randbytes(160) for _ in range(99)) == []
    assert judge(chance.randbytes(160) for _ in range(1200)) == [1, 1, 1]
    silence = [b"\xd5" * 160] * 3000
    assert judge(iter(silence)) == [0]
    assert judge(iter([*silence, *(chance.randbytes(160) for _ in range(100))])) == [0, 1]


@pytest.mark.parametrize("mode", ["xor", "rc4", "aes128"])
def test_a_running_stream_is_reported_and_cleared(media: Media, phone: Phones, mode: str) -> None:
    """The far end uses another key: one event, the leg is marked; with the right key the mark goes."""
    right_key, wrong_key = (wire_reference.KEYS[mode][0], "Wrong6Harbour4St")
    media.request("keys", keys={"right": {"value": right_key}, "wrong": {"value": wrong_key}})
    near, far = phone(), phone()
    chance = random.Random(2)
    speech = list(payloads(sounds.encode([a + chance.gauss(0, 20) for a in sounds.speech(chance)], 8)))

    def talk(first: int) -> None:
        for seq, one in enumerate(speech, first):
            sent = REFERENCE(mode, right_key.encode(), bytes(4), packet(one, seq=seq, ts=160 * seq))
            far.send(sent, made["b"]["local"])
        media.until("c", "b", packets=first + len(speech))

    def crypt(kid: str) -> dict[str, str]:
        return {"mode": mode, "kid": kid}

    made = media.request("add", call="c", stream=0, a=media.leg(near), b=media.leg(far, rx=crypt("wrong")))
    talk(0)
    event = media.wait_event("key-mismatch")
    assert (event["call"], event["side"], event["remote"]) == ("c", "b", list(far.name))
    assert media.counters("c")["b"]["key_mismatch"] is True
    assert "suspected key mismatch: call c stream 0 side b" in media.said()
    media.request("change", call="c", stream=0, b={"rx": crypt("right")})
    talk(100)
    assert media.counters("c")["b"]["key_mismatch"] is False
    assert not [one for one in media.events if one["event"] == "key-mismatch"]


def test_a_plain_leg_is_judged_only_where_asked(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    chance = random.Random(3)
    for call, fields in (("quiet", {}), ("asked", {"judge": True})):
        made = media.request("add", call=call, stream=0, a=media.leg(left, **fields), b=media.leg(right))
        for seq in range(100):
            left.send(packet(chance.randbytes(160), seq=seq), made["a"]["local"])
        media.until(call, "a", packets=100)
    assert media.wait_event("key-mismatch")["call"] == "asked"
    assert media.counters("quiet")["a"]["key_mismatch"] is False
