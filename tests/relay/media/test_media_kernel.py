"""The kernel's path with a real program on a real device: what it forwards, writes, counts, and leaves alone."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernel_lab import NOTHING, RELAY, RELAY6, Lab, Line, in_kernel, settle, until
from media_driver import ROOT, Media, Phone
from test_media_record import total

pytestmark = [pytest.mark.root, pytest.mark.netns]
DSCP = 46 << 2


@pytest.fixture
def lab(library: Path, tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        made = Lab(tmp_path, stack)
        made.open()
        yield made


def call(media: Media, left: Phone, right: Phone, name: str = "c", **both: object) -> tuple[Line, Line]:
    address = RELAY6 if ":" in left.host else RELAY
    legs = [
        {"address": address, "remote": list(phone.name), "pts": [8, 101], **both} for phone in (left, right)
    ]
    made = media.request("add", call=name, stream=0, a=legs[0], b=legs[1])
    return Line(left, made["a"]["local"]), Line(right, made["b"]["local"], ssrc=8, sequence=100)


@pytest.mark.parametrize("six", [False, True])
def test_what_is_settled_passes_whole_in_both_directions_and_is_counted(lab: Lab, six: bool) -> None:
    media, left, right = lab.media(), lab.phone(six=six), lab.phone(six=six)
    lines = call(media, left, right)
    settle(media, list(lines))
    os.kill(media.process.pid, signal.SIGSTOP)  # nobody but the kernel is left to forward
    try:
        for _ in range(200):
            for line in lines:
                line.say(pace=0)
        heard = [phone.waiting() for phone in (left, right)]
    finally:
        os.kill(media.process.pid, signal.SIGCONT)
    assert heard[0] == lines[1].sent
    assert heard[1] == lines[0].sent
    counted = media.counters("c")
    for side, line, other in (("a", lines[0], lines[1]), ("b", lines[1], lines[0])):
        told = counted[side]
        assert (told["packets"], told["bytes"]) == (len(line.sent), 172 * len(line.sent))
        assert (told["sent"], told["lost"], told["dropped"]) == (len(other.sent), 0, 0)
        assert told["ptime_ms"] == 20
    last = media.request("remove", call="c")["counters"]["streams"][0]
    assert last["a"]["packets"] == len(lines[0].sent)
    assert in_kernel(media) == 0


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("six", [False, True])
def test_what_leaves_looks_like_the_relays_own(lab: Lab, six: bool, partial: bool) -> None:
    """With checksums left to hardware by the sender, and made by it."""
    media, left, right = lab.media(), lab.phone(six=six), lab.phone(six=six)
    lab.checksums(lab.phones, lab.far, offload=partial)
    lab.checksums(lab.relay, lab.near, offload=False)
    line, _ = call(media, left, right)
    with lab.inside(lab.phones):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((lab.far, 0))
    with wire:
        wire.settimeout(2)
        for _ in range(40):
            line.say()
        before = frames(wire, right.name[1])
        settle(media, [line])
        assert in_kernel(media) == 1
        line.say()
        after = frames(wire, right.name[1])
    assert after[-1][-160:] == line.sent[-1][-160:]
    assert headers(before[0]) == headers(after[-1])
    assert right.waiting()[-1] == line.sent[-1]


def frames(wire: socket.socket, port: int) -> list[bytes]:
    """What goes to a port on the wire, without its link header."""
    found = []
    wire.setblocking(False)
    while True:
        try:
            data = wire.recv(2048)[14:]
        except BlockingIOError:
            return found
        at = 40 if data[0] >> 4 == 6 else 20
        if data[:1] in {b"\x45", b"\x6b"} and struct.unpack_from("!H", data, at + 2)[0] == port:
            found.append(data)


def headers(data: bytes) -> tuple[object, ...]:
    """All that a sender decides; both checksums must be right."""
    if data[0] >> 4 == 6:
        pseudo = data[8:40] + struct.pack("!II", len(data) - 40, 17)
        assert total(pseudo + data[40:]) == 0xFFFF
        assert data[7] == 64
        return (data[0], data[1] >> 4, *data[4:8], data[8:40], data[40:46])  # but for the flow label
    assert total(data[:20]) == 0xFFFF
    assert total(data[12:20] + struct.pack("!HH", 17, len(data) - 20) + data[20:]) == 0xFFFF
    assert (data[1], data[8], data[6]) == (DSCP, 64, 0x40)
    return (*data[:4], *data[6:10], data[12:20], data[20:26])


def rough(line: Line, seed: int) -> None:
    """Loss one by one and in bursts, order, duplicates, a jump, another source, digits, rubbish and RTCP's numbers."""
    chance = random.Random(seed)
    kept: list[bytes] = []
    for number in range(1500):
        packet = line.packet()
        if number == 700:
            line.sequence += 400
        if number == 900:
            line.ssrc += 1
        if number in {1000, 1001, 1002}:
            line.say(line.packet(pt=101))
        if number == 1100:
            line.say(b"\x00" * 40)
        if number == 1200:
            line.say(line.packet(first=0x90))
        what = chance.random()
        if what < 0.04:
            continue
        if what < 0.05:
            for _ in range(chance.randrange(2, 9)):
                line.packet()
            continue
        if what < 0.07:
            kept.append(packet)
            continue
        line.say(packet, pace=0.0005)
        if what < 0.09:
            line.say(packet, pace=0)
        while kept and chance.random() < 0.5:
            line.say(kept.pop(0), pace=0)


def test_a_rough_stream_is_counted_as_the_worker_alone_counts_it(lab: Lab) -> None:
    media, told, inside = lab.media(), [], []
    for name, path in (("with", True), ("without", False)):
        media.configure(addresses=[RELAY, RELAY6], kernel_path=path)
        left, right = lab.phone(), lab.phone()
        line, _ = call(media, left, right, name)
        if path:
            settle(media, [line], most=300)
        while len(line.sent) < 300:
            line.say()
        rough(line, 5)
        inside.append(in_kernel(media))
        right.waiting()
        counted = media.counters(name)
        told.append((counted["a"], counted["b"]["sent"], len(line.sent)))
    (with_a, with_sent, with_all), (without_a, without_sent, without_all) = told
    assert (inside, with_all) == ([1, 0], without_all)
    assert with_sent == without_sent == with_all - 2  # rubbish, and an extension longer than its packet
    assert with_a["lost"] > 50
    assert min(with_a[name] for name in ("duplicate", "reordered", "loss_runs", "burst_lost")) > 5
    same = (
        *(
            "packets",
            "bytes",
            "lost",
            "duplicate",
            "reordered",
            "loss_runs",
            "run_lost",
            "burst_lost",
            "malformed",
        ),
        *("sources", "ssrc", "ptime_ms", "dropped", "held"),
    )
    assert {key: with_a[key] for key in same if key in with_a} == {
        key: without_a[key] for key in same if key in without_a
    }


def test_strangers_are_not_heard_and_hear_nothing(lab: Lab) -> None:
    media, left, right = lab.media(), lab.phone(), lab.phone()
    lines = call(media, left, right)
    settle(media, list(lines))
    neighbour, stranger = lab.phone(left.host), lab.phone()
    evil = b"attacker" * 20
    for number in range(300):
        for line in lines:
            line.say(pace=0)
            for enemy in (neighbour, stranger):
                copy = struct.pack("!BBHII", 0x80, 8, (line.sequence + number) % 65536, line.stamp, line.ssrc)
                enemy.send(copy + evil, line.to)
    assert in_kernel(media) == 2
    assert left.waiting() == lines[1].sent
    assert right.waiting() == lines[0].sent
    assert not neighbour.waiting(0)
    assert not stranger.waiting(0)
    assert media.counters("c")["a"]["dropped"] == 600


def test_a_killed_media_process_leaves_nothing_on_the_device(lab: Lab) -> None:
    media, left, right = lab.media(), lab.phone(), lab.phone()
    assert lab.programs() == 1
    line, _ = call(media, left, right)
    settle(media, [line])
    media.process.kill()
    media.process.wait()
    until(lambda: lab.programs() == 0)
    right.waiting(0)
    line.say()
    assert not right.waiting(0.2)


def test_silence_is_noticed_and_nothing_else(lab: Lab) -> None:
    media, left, right = lab.media(), lab.phone(), lab.phone()
    media.configure(addresses=[RELAY, RELAY6], kernel_path=True, timeout=1)
    lines = call(media, left, right)
    settle(media, list(lines))
    for _ in range(125):
        for line in lines:
            line.say(pace=0.01)
    assert in_kernel(media) == 2
    assert not [event for event in media.events if event["event"] == "timeout"]
    assert media.counters("c")["a"]["idle_ms"] < 500
    assert media.wait_event("timeout")["idle_ms"] >= 1000


def test_without_the_capabilities_media_goes_on_and_says_why(lab: Lab) -> None:
    media, left, right = lab.media(before=NOTHING), lab.phone(), lab.phone()
    assert lab.programs() == 0
    assert not media.request("status")["kernel_path"]
    lines = call(media, left, right)
    for _ in range(60):
        lines[0].say()
    assert right.waiting() == lines[0].sent
    said = [line for line in media.said().splitlines() if "kernel_path" in line]
    assert len(said) == 1
    assert said[0].endswith("WARNING kernel_path: media goes on without: its maps: Operation not permitted")


def test_an_address_that_no_device_has_is_told(lab: Lab) -> None:
    media = lab.media(addresses=("10.99.0.1",))
    assert "attaching to the devices of the relay's addresses: No such device" in media.said()
    assert not media.request("status")["kernel_path"]


def test_media_that_was_started_without_it_says_what_to_do(lab: Lab) -> None:
    media = lab.media(path=False)
    media.configure(addresses=[RELAY], kernel_path=True)
    assert "it was not asked for when media started: restart the relay" in media.said()
    assert lab.programs() == 0


@pytest.mark.requires("clang")
def test_the_committed_instructions_are_the_sources(capfd: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "scripts/kernel_program.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, capfd.readouterr().err
