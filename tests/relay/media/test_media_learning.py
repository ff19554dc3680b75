"""Nobody but the far end is heard: an attacker sprays both ports of a call from the first millisecond.

The table that these tests print (pytest -s) counts genuine packets sent and relayed, the attacker's packets
that reached a telephone (injected), and the telephones' packets that reached the attacker (bled).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import wire_reference
from media_driver import Media, Phone
from wire_reference import packet

Phones = Callable[..., Phone]
GENUINE, EVIL = b"genuine!" * 20, b"attacker" * 20
PACKETS = 150


class Attacker:
    """Sends plausible RTP and rubbish to RTP and RTCP ports without pause, and keeps what comes back."""

    def __init__(self, sockets: list[Phone]) -> None:
        self.sockets = sockets
        self.targets: list[tuple[str, int]] = []
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spray)

    def _spray(self) -> None:
        chance = random.Random(6)
        seq = 0
        while not self._stop.is_set():
            seq += 1
            for phone in self.sockets:
                for host, port in list(self.targets):
                    good = packet(EVIL, seq=seq, ts=seq * 160, ssrc=666, pt=chance.choice((8, 101)))
                    rtcp = b"\x80\xc9\x00\x01" + EVIL[:4]
                    self.sent += 3
                    phone.send(good, (host, port))
                    phone.send(chance.choice((rtcp, chance.randbytes(40))), (host, port))
                    phone.rtcp.sendto(rtcp, (host, port + 1))
            self._stop.wait(0.0005)

    def bled(self) -> int:
        return sum(len(phone.waiting(0)) for phone in self.sockets)

    @contextmanager
    def at_work(self) -> Iterator[Attacker]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


@dataclass
class Talk:
    """Both telephones talk for a while; what each hears is sorted by who said it."""

    genuine: int = 0
    relayed: int = 0
    injected: int = 0

    def run(self, left: Phone, right: Phone, made: dict[str, dict[str, list[object]]], first: int) -> None:
        pause = threading.Event()
        for seq in range(first, first + PACKETS):
            for phone, side in ((left, "a"), (right, "b")):
                phone.send(packet(GENUINE, seq=seq, ts=160 * seq, ssrc=first), made[side]["local"])
                self.genuine += 1
            pause.wait(0.002)
        for phone in (left, right):
            for heard in phone.waiting():
                self.relayed += heard[12:] == GENUINE
                self.injected += EVIL[:4] in heard


@pytest.fixture
def attacker(phone: Phones) -> Attacker:
    return Attacker([phone() for _ in range(3)])


def record(
    capsys: pytest.CaptureFixture[str], name: str, talk: Talk, attacker: Attacker, before: int = 0
) -> None:
    """Print a row of the table, of what happened since ``before`` attacks; fail unless it says what it must."""
    attacks, bled = attacker.sent - before, attacker.bled()
    with capsys.disabled():
        print(
            f"\n  {name:40} genuine {talk.genuine:4}  relayed {talk.relayed:4}  "
            f"attacks {attacks:6}  injected {talk.injected}  bled {bled}",
            end="",
        )
    assert (talk.relayed, talk.injected, bled) == (talk.genuine, 0, 0)
    assert attacks > 1000


def legs(media: Media, rule: str, left: Phone, right: Phone) -> tuple[dict[str, object], dict[str, object]]:
    """With NAT, the SDP holds a private address that is not the one packets come from."""
    if rule == "sdp":
        return media.leg(left, pts=[8, 101]), media.leg(right, pts=[8, 101])
    private = {"remote": ["192.168.7.7", left.name[1]], "learn": "nat", "from": left.host, "pts": [8, 101]}
    return media.leg(None, **private), media.leg(right, pts=[8, 101])


@pytest.mark.parametrize(
    ("rule", "mode", "low_latency"),
    [
        ("sdp", "none", False),
        ("nat", "none", False),
        ("sdp", "aes128", False),
        ("nat", "aes128", False),
        ("nat", "none", True),
    ],
)
def test_a_call_under_spray_and_through_a_move(
    media: Media,
    phone: Phones,
    attacker: Attacker,
    capsys: pytest.CaptureFixture[str],
    rule: str,
    mode: str,
    low_latency: bool,
) -> None:
    """The far end of side a moves to another port in mid-call, signalled as a re-INVITE would."""
    media.configure(low_latency=low_latency)
    assert media.request("status")["low_latency"] == low_latency
    media.request("keys", keys={"k": {"value": wire_reference.KEYS["aes128"][0]}})
    crypt = {"mode": mode, "kid": "k", "salt": "00000001"}
    left, right = phone(), phone()
    a, b = legs(media, rule, left, right)
    if mode != "none":
        b = {**b, "tx": crypt}
    where = {"sdp": "SDP's address", "nat": "behind NAT"}[rule]
    mode_told = f"{mode}, low latency" if low_latency else mode
    with attacker.at_work():
        made = media.request("add", call="c", stream=0, a=a, b={**b, "remote": None})
        attacker.targets += [tuple(made[side]["local"]) for side in "ab"]
        attacker_first(attacker)
        media.request("change", call="c", stream=0, b=b)
        if rule == "nat":
            first_word(media, left, right, made)
        talk = Talk()
        run(talk, left, right, made, 1000, mode)
        record(capsys, f"{where}, {mode_told}, before the move", talk, attacker)
        moved, before = phone(left.host), attacker.sent
        a_again = {"remote": list(moved.name) if rule == "sdp" else ["192.168.7.7", moved.name[1]]}
        media.request("change", call="c", stream=0, a=a_again)
        if rule == "nat":
            first_word(media, moved, right, made)
        talk = Talk()
        run(talk, moved, right, made, 5000, mode)
        record(capsys, f"{where}, {mode_told}, after the move", talk, attacker, before)
    counted = media.counters("c")
    assert counted["a"]["dropped"] > 100
    assert counted["b"]["dropped"] > 100
    assert counted["a"]["learned"] == list(moved.name)


def run(talk: Talk, left: Phone, right: Phone, made: dict, first: int, mode: str) -> None:
    """As Talk.run; on an encrypted trunk the right telephone deciphers what it hears."""
    if mode == "none":
        talk.run(left, right, made, first)
        return
    decrypt, key = wire_reference.script().transform, wire_reference.KEYS["aes128"][0].encode()
    plain = right.waiting
    right.waiting = lambda quiet=0.3: [
        decrypt("aes128", key, bytes.fromhex("00000001"), one) for one in plain(quiet)
    ]
    try:
        talk.run(left, right, made, first)
    finally:
        right.waiting = plain


def attacker_first(attacker: Attacker) -> None:
    """The attacker has been at it for a while before anything genuine comes."""
    before = attacker.sent
    while attacker.sent < before + 100:
        threading.Event().wait(0.001)


def first_word(media: Media, phone: Phone, other: Phone, made: dict) -> None:
    """Behind NAT, nothing can be sent to a telephone before it has spoken; it speaks."""
    phone.send(packet(b"first word", seq=1, ssrc=1), made["a"]["local"])
    other.receive()


def test_nat_locks_to_the_first_fitting_payload_type(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    neighbour = phone(left.host)
    leg = media.leg(None, learn="nat", **{"from": left.host}, pts=[8])
    made = media.request("add", call="c", stream=0, a=leg, b=media.leg(right))
    neighbour.send(packet(b"wrong type", pt=3), made["a"]["local"])
    neighbour.send(b"no RTP at all", made["a"]["local"])
    left.send(packet(b"right"), made["a"]["local"])
    assert right.receive() == packet(b"right")
    neighbour.send(packet(b"too late"), made["a"]["local"])
    event = media.wait_event("first-packet")
    assert (event["call"], event["stream"], event["side"], event["remote"]) == ("c", 0, "a", list(left.name))
    right.send(packet(b"back"), made["b"]["local"])
    assert left.receive() == packet(b"back")
    assert media.until("c", "a", dropped=3)["learned"] == list(left.name)
    assert not right.waiting(0)


def test_behind_nat_nothing_is_sent_until_the_telephone_is_heard(media: Media, phone: Phones) -> None:
    """The SDP's own address is used only where it is the signalling's; anything else would be a way to aim media."""
    left, right, victim = phone(), phone(), phone()
    leg = media.leg(victim, learn="nat", **{"from": left.host})
    made = media.request("add", call="c", stream=0, a=leg, b=media.leg(right))
    right.send(packet(b"nobody"), made["b"]["local"])
    assert media.until("c", "b", packets=1)["held"] == 1
    media.request("change", call="c", stream=0, a={"remote": list(left.name)})
    right.send(packet(b"left", seq=2), made["b"]["local"])
    assert left.receive() == packet(b"left", seq=2)
    assert not victim.waiting(0)


def test_rtcp_behind_nat_is_learned_from_the_same_host_only(media: Media, phone: Phones) -> None:
    left, right, stranger = phone(), phone(), phone()
    report = b"\x80\xc9\x00\x01abcd"
    made = media.request(
        "add", call="c", stream=0, a=media.leg(None, learn="nat", **{"from": left.host}), b=media.leg(right)
    )
    to = (made["a"]["local"][0], made["a"]["rtcp"])
    stranger.rtcp.sendto(report, to)
    left.rtcp.sendto(report, to)
    assert right.rtcp.recv(100) == report
    right.rtcp.sendto(report, (made["b"]["local"][0], made["b"]["rtcp"]))
    assert left.rtcp.recv(100) == report
    leg = media.counters("c")["a"]
    assert (leg["dropped"], leg["rtcp_learned"]) == (1, list(left.rtcp.getsockname()))


def test_learn_any_needs_five_in_sequence(media: Media, phone: Phones) -> None:
    """Sprayers with random numbers do not pass; nor do a dozen of them keep the real source out."""
    left, right = phone(), phone()
    sprayers = [phone() for _ in range(12)]
    made = media.request(
        "add", call="c", stream=0, a=media.leg(None, learn="any", pts=[8]), b=media.leg(right)
    )
    chance = random.Random(3)
    for seq in range(100, 104):
        for sprayer in sprayers:
            sprayer.send(packet(EVIL, seq=chance.randrange(0, 65536, 2), ssrc=5), made["a"]["local"])
        left.send(packet(GENUINE, seq=seq, ssrc=9), made["a"]["local"])
    media.until("c", "a", dropped=4 * 13)
    assert not right.waiting(0)
    left.send(packet(GENUINE, seq=104, ssrc=9), made["a"]["local"])
    assert right.receive() == packet(GENUINE, seq=104, ssrc=9)
    for sprayer in sprayers:
        for seq in range(10):
            sprayer.send(packet(EVIL, seq=seq, ssrc=5), made["a"]["local"])
    media.until("c", "a", dropped=4 * 13 + 120)
    assert not right.waiting(0)


def test_learn_any_takes_the_signalled_address_at_once(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left, learn="any"), b=media.leg(right))
    left.send(packet(GENUINE), made["a"]["local"])
    assert right.receive() == packet(GENUINE)


def test_a_move_behind_nat_loses_nothing_of_the_old_port(media: Media, phone: Phones) -> None:
    """Between the signalled move and the first packet from the new port, the old one is heard, and not locked again."""
    left, right = phone(), phone()
    new = phone(left.host)
    leg = media.leg(None, learn="nat", **{"from": left.host}, remote=["192.168.1.1", 4000])
    made = media.request("add", call="c", stream=0, a=leg, b=media.leg(right))
    left.send(packet(b"old", seq=1), made["a"]["local"])
    assert right.receive() == packet(b"old", seq=1)
    media.request("change", call="c", stream=0, a={"remote": ["192.168.1.1", 5000]})
    for seq in range(2, 80):
        left.send(packet(b"old", seq=seq), made["a"]["local"])
        assert right.receive() == packet(b"old", seq=seq)
    right.send(packet(b"still there"), made["b"]["local"])
    assert left.receive() == packet(b"still there")
    new.send(packet(b"new", seq=80), made["a"]["local"])
    assert right.receive() == packet(b"new", seq=80)
    assert media.wait_event("source-change")["remote"] == list(new.name)
    left.send(packet(b"old", seq=81), made["a"]["local"])
    assert media.until("c", "a", dropped=1)["learned"] == list(new.name)
    right.send(packet(b"moved"), made["b"]["local"])
    assert new.receive() == packet(b"moved")


def test_a_flood_does_not_crowd_out_the_locked_stream(media: Media, phone: Phones) -> None:
    """Strangers' packets never enter the queue of a locked leg: 20,000 at once cost the stream nothing."""
    left, right, flood = phone(), phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    for seq in range(100):
        for _ in range(200):
            flood.send(packet(EVIL), made["a"]["local"])
        left.send(packet(GENUINE, seq=seq), made["a"]["local"])
    assert [one[12:] for one in right.waiting()] == [GENUINE] * 100
    leg = media.until("c", "a", dropped=20_000)
    assert (leg["dropped"], leg["overrun"], leg["lost"]) == (20_000, 0, 0)
