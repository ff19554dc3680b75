"""What is asked of a settled call takes it out of the kernel first, so that it holds from the next packet on."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernel_lab import RELAY, Lab, Line, in_kernel, ip, settle, until
from media_driver import Media, Phone
from test_media_record import recorded

pytestmark = [pytest.mark.root, pytest.mark.netns]


class Settled:
    """A call whose two directions are in the kernel."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.media, self.left, self.right = lab.media(), lab.phone(), lab.phone()
        legs = [
            {"address": RELAY, "remote": list(phone.name), "pts": [8, 101]}
            for phone in (self.left, self.right)
        ]
        made = self.media.request("add", call="c", stream=0, a=legs[0], b=legs[1])
        self.a, self.b = Line(self.left, made["a"]["local"]), Line(self.right, made["b"]["local"], ssrc=8)
        self.settle()

    def settle(self) -> None:
        settle(self.media, [self.a, self.b])
        self.heard()
        self.a.sent, self.b.sent = [], []

    def heard(self) -> tuple[list[bytes], list[bytes]]:
        """What left and right have heard."""
        return self.left.waiting(0.1), self.right.waiting(0.1)

    def talk(self, count: int) -> None:
        for _ in range(count):
            self.a.say()
            self.b.say()


@pytest.fixture
def call(library: Path, tmp_path: Path) -> Iterator[Settled]:
    with ExitStack() as stack:
        lab = Lab(tmp_path, stack)
        lab.open()
        yield Settled(lab)


def test_a_re_invite_moves_media_at_once_and_for_all(call: Settled) -> None:
    moved = call.lab.phone()
    call.media.request("change", call="c", stream=0, a={"remote": list(moved.name)})
    assert in_kernel(call.media) == 0
    for _ in range(50):
        call.b.say()
        call.a.say()
    assert moved.waiting(0.1) == call.b.sent
    assert call.heard() == ([], [])
    call.a = Line(moved, list(call.a.to), ssrc=9)
    settle(call.media, [call.a, call.b])
    assert not call.left.waiting(0)
    assert call.right.waiting(0.1) == call.a.sent
    assert call.media.counters("c")["a"]["dropped"] == 50


def test_a_recording_has_every_packet_from_its_start_on(call: Settled, tmp_path: Path) -> None:
    path = tmp_path / "c.pcap"
    call.media.request("record", call="c", on=True, path=str(path))
    assert in_kernel(call.media) == 0
    call.talk(80)
    assert call.heard() == (call.b.sent, call.a.sent)
    assert in_kernel(call.media) == 0
    call.media.request("record", call="c", on=False)
    kept = [frame.payload for frame in recorded(path)]
    assert sorted(kept) == sorted(call.a.sent + call.b.sent)
    call.settle()


CHANGES = {
    "blocked": ({"media": "block"}, []),
    "silent": ({"media": "silence"}, [b"\xd5" * 160]),
    "on hold": ({"receive": False}, []),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_of_a_party_passes_from_then_on(call: Settled, what: str) -> None:
    change, payloads = CHANGES[what]
    call.media.request("change", call="c", stream=0, a=change)
    call.talk(60)
    left, right = call.heard()
    assert left == call.b.sent
    assert {packet[12:] for packet in right} == set(payloads)
    assert len(right) == 60 * len(payloads)
    assert in_kernel(call.media) <= 1  # the other direction may come back
    undo = {"media": "pass"} if "media" in change else {"receive": True}
    call.media.request("change", call="c", stream=0, a=undo)
    call.settle()
    counted = call.media.counters("c")
    assert counted["a"]["packets"] - counted["b"]["sent"] == counted["a"]["held"]


def test_a_jitter_buffer_and_a_key_keep_the_stream_to_the_worker(call: Settled) -> None:
    call.media.request("keys", keys={"k": {"value": "abcdefgh"}})
    for change in (
        {"jitter": {"mode": "fixed", "min": 20, "start": 20, "max": 20}},
        {"jitter": None, "rx": {"mode": "xor", "kid": "k", "salt": "00000001"}},
    ):
        call.media.request("change", call="c", stream=0, a=change)
        for _ in range(80):
            call.a.say()
        assert in_kernel(call.media) == 0
    packets = call.right.waiting(0.2)
    assert len(packets) == 160
    assert packets[-1] != call.a.sent[-1]


def test_another_source_and_digits_come_to_the_worker_and_the_stream_goes_back(call: Settled) -> None:
    before = call.media.counters("c")["a"]
    for _ in range(3):
        call.a.say(pt=101)
    assert in_kernel(call.media) == 1
    call.a.ssrc = 99
    settle(call.media, [call.a, call.b])
    assert call.right.waiting(0.1) == call.a.sent
    after = call.media.counters("c")["a"]
    assert (after["sources"], after["ssrc"]) == (before["sources"] + 1, 99)
    assert after["packets"] - before["packets"] == len(call.a.sent)


def test_rtcp_on_the_same_port_passes_without_taking_the_stream_out(call: Settled) -> None:
    call.media.request("change", call="c", stream=0, a={"mux": True}, b={"mux": True})
    call.settle()
    report = struct.pack("!BBHII", 0x80, 201, 1, 7, 0)[:8]
    for _ in range(5):
        call.a.say(report)
        call.talk(3)
    assert in_kernel(call.media) == 2
    assert sorted(call.heard()[1]) == sorted(call.a.sent)
    assert call.media.counters("c")["a"]["rtcp_packets"] == 5


def test_another_route_is_followed_within_two_seconds(call: Settled) -> None:
    """The telephones' network moves to a second wire."""
    lab = call.lab
    ip("link", "add", "near1", "netns", lab.relay, "type", "veth", "peer", "far1", "netns", lab.phones)
    for name, device, host in ((lab.relay, "near1", "10.76.0.1"), (lab.phones, "far1", "10.76.0.2")):
        ip("-n", name, "addr", "add", f"{host}/24", "dev", device)
        ip("-n", name, "link", "set", device, "up")
    ip("-n", lab.relay, "route", "add", f"{call.right.host}/32", "via", "10.76.0.2")

    def arrives_there() -> bool:
        call.talk(20)
        rows = Path("/proc/net/dev")
        with lab.inside(lab.relay):
            line = next(row for row in rows.read_text().splitlines() if "near1" in row)
        return int(line.split(":")[1].split()[9]) > 100

    until(arrives_there, 4)
    assert call.heard() == (call.b.sent, call.a.sent)


def test_the_path_is_switched_off_and_on_under_a_call(call: Settled) -> None:
    call.media.configure(addresses=[RELAY], kernel_path=False)
    until(lambda: in_kernel(call.media) == 0)
    call.talk(80)
    assert in_kernel(call.media) == 0
    call.media.configure(addresses=[RELAY], kernel_path=True)
    settle(call.media, [call.a, call.b])
    assert call.heard() == (call.b.sent, call.a.sent)


def test_sound_of_the_relays_own_takes_the_place_of_the_kernels(call: Settled) -> None:
    call.media.request("dial", call="c", side="a", digits=[[5, 8, 1600, 0]])
    call.talk(80)
    left, right = call.heard()
    assert left == call.b.sent
    assert sum(packet[1] & 0x7F == 101 for packet in right) >= 10
    call.settle()
    sound = base64.b64encode(bytes(range(160)) * 5).decode()
    call.media.request("play", call="c", side="b", sound=sound, pt=8)
    call.talk(150)
    left, right = call.heard()
    assert left == call.b.sent
    assert [packet[12:] for packet in right].count(bytes(range(160))) == 5
    assert not [packet for packet in right[:5] if packet in call.a.sent]


def test_every_call_that_ends_gives_its_places_back(call: Settled, phones: int = 3) -> None:
    pairs: list[tuple[Phone, Phone]] = [(call.lab.phone(), call.lab.phone()) for _ in range(phones)]
    for turn in range(3):
        lines = []
        for number, (left, right) in enumerate(pairs):
            legs = [{"address": RELAY, "remote": list(phone.name), "pts": [8]} for phone in (left, right)]
            made = call.media.request("add", call=f"c{number}", stream=0, a=legs[0], b=legs[1])
            lines.append(Line(left, made["a"]["local"], ssrc=turn * 10 + number))
        settle(call.media, lines, inside=2 + phones)
        for number, line in enumerate(lines):
            last = call.media.request("remove", call=f"c{number}")["counters"]["streams"][0]
            assert last["a"]["packets"] == last["b"]["sent"] == len(line.sent)
        assert in_kernel(call.media) == 2


def test_media_that_restarts_has_its_program_again(call: Settled) -> None:
    call.media.stop()
    until(lambda: call.lab.programs() == 0)
    again: Media = call.lab.media()
    assert call.lab.programs() == 1
    assert again.request("status")["kernel_path"]
