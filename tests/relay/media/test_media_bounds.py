"""What strangers and far ends can make grow in the media process, and what becomes of it beyond its bound."""

from __future__ import annotations

import base64
import os
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from media_driver import ROOT, Media, Phone, RefusedError
from pylibsrtp import Policy, Session
from wire_reference import packet

Phones = Callable[..., Phone]
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(30))
CANDIDATES, TRACKS = 32, 16
LESS = "import vosctl.relay.media.insertion as i; i.MAX_SOUNDS = 10000"


def test_all_sound_together_has_a_bound(start: Callable[..., Media], phone: Phones) -> None:
    """Sound that ends, is replaced, or whose call ends, gives its room back."""
    media = start(before=f"import sys; sys.path.insert(0, {str(ROOT)!r}); {LESS}\n")
    phones = [phone() for _ in range(6)]
    for number in range(3):
        legs = {"a": media.leg(phones[2 * number]), "b": media.leg(phones[2 * number + 1])}
        media.request("add", call=f"c{number}", stream=0, **legs)

    def play(call: str, side: str, size: int) -> Any:
        sound = base64.b64encode(b"\xd5" * size).decode()
        return media.request("play", call=call, stream=0, side=side, sound=sound)

    play("c0", "a", 4000)
    play("c0", "b", 4000)
    with pytest.raises(RefusedError, match="no room for more sound"):
        play("c1", "a", 4000)
    play("c0", "b", 2000)
    play("c1", "a", 4000)
    with pytest.raises(RefusedError, match="no room"):
        media.request("dial", call="c2", stream=0, side="a", sound=base64.b64encode(bytes(4000)).decode())
    media.request("remove", call="c0")
    play("c2", "a", 4000)
    deadline = time.monotonic() + 10
    while len([event for event in media.events if event["event"] == "played"]) < 2:
        assert time.monotonic() < deadline
        media.request("status")
        time.sleep(0.05)
    play("c1", "b", 9000)


def test_srtp_keeps_the_indices_of_sixteen_sources(media: Media, phone: Phones) -> None:
    """With a seventeenth, the one that was silent longest begins anew; all are heard."""
    left, right = phone(), phone()
    rx = {"mode": "srtp", "kid": SUITE, "key": base64.b64encode(KEY).decode()}
    made = media.request("add", call="c", stream=0, a=media.leg(left, rx=rx), b=media.leg(right))
    profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    sender = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
    sealed = [sender.protect(packet(b"x" * 160, seq=1, ssrc=ssrc)) for ssrc in range(1, TRACKS + 2)]
    for one in sealed[:TRACKS]:
        left.send(one, made["a"]["local"])
        right.receive()
    left.send(sealed[0], made["a"]["local"])
    assert media.until("c", "a", unauthentic=1)["packets"] == TRACKS
    left.send(sealed[TRACKS], made["a"]["local"])
    right.receive()
    left.send(sealed[TRACKS], made["a"]["local"])
    assert media.until("c", "a", unauthentic=2)["packets"] == TRACKS + 1


def test_a_thousand_strangers_do_not_keep_a_leg_from_learning(media: Media, phone: Phones) -> None:
    left, right, stranger = phone(), phone(), phone()
    leg = media.leg(None, learn="any", pts=[8])
    made = media.request("add", call="c", stream=0, a=leg, b=media.leg(right))
    for ssrc in range(1000):
        stranger.send(packet(b"evil", seq=7, ssrc=1000 + ssrc), made["a"]["local"])
        if ssrc % 50 == 49:
            media.until("c", "a", dropped=ssrc + 1)
    for seq in range(5):
        for ssrc in range(CANDIDATES - 1):
            stranger.send(packet(b"evil", seq=9, ssrc=5000 + 100 * seq + ssrc), made["a"]["local"])
        left.send(packet(b"good", seq=seq, ssrc=1), made["a"]["local"])
    assert right.receive() == packet(b"good", seq=4, ssrc=1)
    assert not right.waiting(0)


def test_a_burst_that_takes_more_buffers_than_most_passes_whole(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    for burst in range(3):
        os.kill(media.process.pid, signal.SIGSTOP)
        try:
            for seq in range(120):
                left.send(packet(b"x" * 160, seq=burst * 120 + seq), made["a"]["local"])
        finally:
            os.kill(media.process.pid, signal.SIGCONT)
        heard = [int.from_bytes(right.receive()[2:4], "big") for _ in range(120)]
        assert heard == list(range(burst * 120, burst * 120 + 120))


def test_a_queue_that_is_full_is_counted(media: Media, phone: Phones) -> None:
    """While the process is stopped, what does not fit into the leg's queue is the kernel's loss, and is told."""
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    left.send(packet(b"first", seq=0), made["a"]["local"])
    right.receive()
    os.kill(media.process.pid, signal.SIGSTOP)
    try:
        for seq in range(1, 3000):
            left.send(packet(b"x" * 160, seq=seq % 65536), made["a"]["local"])
    finally:
        os.kill(media.process.pid, signal.SIGCONT)
    deadline = time.monotonic() + 10
    while sum(media.counters("c")["a"][name] for name in ("packets", "overrun")) < 3000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert media.counters("c")["a"]["overrun"] > 1000


def test_a_round_trip_is_measured_by_the_last_four_reports(media: Media, phone: Phones) -> None:
    """An answer to a sender report that four others followed measures nothing; one to the last of them does."""
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    to, back = ((made[side]["local"][0], made[side]["rtcp"]) for side in "ab")
    for number in range(1, 6):
        left.rtcp.sendto(sender_report(number), to)
        assert right.rtcp.recv(100) == sender_report(number)
    time.sleep(0.02)
    for number, measured in ((1, False), (2, True)):
        right.rtcp.sendto(receiver_report(number), back)
        assert left.rtcp.recv(100) == receiver_report(number)
        assert ((media.counters("c")["b"]["rtt_ms"] or 0) >= 20) == measured


def sender_report(number: int) -> bytes:
    """RFC 3550 §6.4.1, without blocks; the middle of its NTP timestamp is ``number``."""
    return struct.pack("!BBHIQIII", 0x80, 200, 6, 1, number << 16, 0, 0, 0)


def receiver_report(number: int) -> bytes:
    """RFC 3550 §6.4.2: a block about the sender report with that number, answered at once."""
    return struct.pack("!BBHI", 0x81, 201, 7, 2) + struct.pack("!IIIIII", 1, 0, 0, 0, number, 0)
