"""Changes in mid-stream: what is not named goes on undisturbed, and what moves, moves without loss."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import wire_reference
from media_driver import Media, Phone
from wire_reference import packet

Phones = Callable[..., Phone]
KEYS = {f"k{n}": {"value": value} for n, value in enumerate(("Paris2Lyon4Metz6", "0pen5ea8lueWater"))}
REFERENCE = wire_reference.script().transform


@contextmanager
def talking(phones: list[Phone], targets: list[object]) -> Iterator[list[int]]:
    """Each telephone sends 50 packets a second, with a sequence number that counts; yields what was sent."""
    sent = [0] * len(phones)
    stop = threading.Event()

    def talk() -> None:
        for seq in itertools.count():
            for at, phone in enumerate(phones):
                phone.send(packet(bytes(160), seq=seq, ts=160 * seq, ssrc=at + 1), targets[at])
                sent[at] += 1
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def sequence(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(one[2:4], "big") for one in packets]


def test_reloads_and_changes_that_move_nothing_lose_nothing(media: Media, phone: Phones) -> None:
    """20 calls both ways while keys, configuration, the control connection and unchanged legs come and go."""
    media.request("keys", keys=KEYS)
    crypt = {"mode": "aes128", "kid": "k0", "salt": "00000007"}
    talkers, listeners, targets, requests = [], [], [], []
    for number in range(20):
        left, right = phone(media.address), phone(media.address)
        request = {
            "call": f"c{number}",
            "stream": 0,
            "a": media.leg(left),
            "b": media.leg(right, tx=crypt, rx=crypt),
        }
        made = media.request("add", **request)
        requests.append(request)
        talkers += [left]
        listeners += [right]
        targets += [made["a"]["local"]]
    with talking(talkers, targets) as sent:
        for round_ in range(12):
            media.request("keys", keys={} if round_ % 2 else {**KEYS, "k0": {"value": "Another5Key5Here"}})
            media.configure(timeout=20 + round_)
            for request in requests:
                media.request("add", **request, blob={"round": round_})
                media.request(
                    "change",
                    call=request["call"],
                    stream=0,
                    a={"remote": request["a"]["remote"]},
                    b={"dscp": 46},
                )
            if round_ % 4 == 3:
                media.disconnect()
                media.connect()
            threading.Event().wait(0.05)
    assert min(sent) > 15
    key = KEYS["k0"]["value"].encode()
    for count, listener in zip(sent, listeners, strict=True):
        heard = listener.waiting(0.2)
        assert sequence(heard) == list(range(count))
        assert {REFERENCE("aes128", key, bytes.fromhex("00000007"), one)[12:] for one in heard} == {
            bytes(160)
        }
    for request in requests:
        leg = media.counters(request["call"])
        assert (leg["a"]["lost"], leg["a"]["held"], leg["b"]["send_errors"]) == (0, 0, 0)


def test_a_changed_key_takes_effect_between_two_packets(media: Media, phone: Phones) -> None:
    media.request("keys", keys=KEYS)
    left, right = phone(), phone()
    crypts = [{"mode": "aes128", "kid": kid, "salt": "00000000"} for kid in KEYS]
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right, tx=crypts[0]))
    for seq in range(40):
        media.request("change", call="c", stream=0, b={"tx": crypts[seq % 2]})
        sent = packet(b"word" * 40, seq=seq)
        left.send(sent, made["a"]["local"])
        key = KEYS[f"k{seq % 2}"]["value"].encode()
        assert right.receive() == REFERENCE("aes128", key, bytes(4), sent)


def test_a_change_with_an_unknown_key_changes_nothing(media: Media, phone: Phones) -> None:
    left, right, elsewhere = phone(), phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    moved = {"remote": list(elsewhere.name)}
    with pytest.raises(Exception, match="unknown key 'gone'"):
        media.request("change", call="c", stream=0, a=moved, b={"tx": {"mode": "xor", "kid": "gone"}})
    left.send(packet(b"as before"), made["a"]["local"])
    assert right.receive() == packet(b"as before")


def test_a_moved_remote_is_the_only_one_heard_and_told_once(media: Media, phone: Phones) -> None:
    left, right, moved = phone(), phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    left.send(packet(b"one"), made["a"]["local"])
    assert right.receive() == packet(b"one")
    media.request("change", call="c", stream=0, a={"remote": list(moved.name)})
    left.send(packet(b"gone"), made["a"]["local"])
    media.until("c", "a", dropped=1)
    moved.send(packet(b"two", seq=2), made["a"]["local"])
    assert right.receive() == packet(b"two", seq=2)
    right.send(packet(b"back"), made["b"]["local"])
    assert moved.receive() == packet(b"back")
    assert media.wait_event("source-change")["remote"] == list(moved.name)
    media.request("change", call="c", stream=0, a={"remote": list(left.name)})
    left.send(packet(b"three", seq=3), made["a"]["local"])
    assert right.receive() == packet(b"three", seq=3)
    assert media.wait_event("source-change")["remote"] == list(left.name)
    assert media.counters("c")["a"]["learned"] == list(left.name)
    assert not left.waiting(0)


def test_the_moved_rtcp_address_leaves_rtp_alone(media: Media, phone: Phones) -> None:
    left, right, monitor = phone(), phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    with talking([left], [made["a"]["local"]]) as sent:
        for number in range(20):
            where = monitor if number % 2 else right
            media.request(
                "change",
                call="c",
                stream=0,
                a={"mux": bool(number % 3)},
                b={"rtcp_remote": list(where.rtcp.getsockname())},
            )
            threading.Event().wait(0.01)
    assert sequence(right.waiting(0.2)) == list(range(sent[0]))


def test_calls_come_and_go_beside_a_running_one(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="steady", stream=0, a=media.leg(left), b=media.leg(right))
    with talking([left], [made["a"]["local"]]) as sent:
        for number in range(150):
            media.request("add", call=f"c{number}", stream=0, a=media.leg(left), b=media.leg(right))
            media.request("remove", call=f"c{number}")
    assert sequence(right.waiting(0.2)) == list(range(sent[0]))
