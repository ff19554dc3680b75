"""The jitter buffer on traces of made jitter, with a clock of the test's own: spacing, loss, order and delay."""

from __future__ import annotations

import itertools
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import jitter_traces as traces
import pytest
from media_driver import Media, Phone

from vosctl.relay.media import build

PRESETS = {name: (1, *bounds) for name, (_, *bounds) in traces.PRESETS.items()}
START_US = 1_000_000_000


class Sent(NamedTuple):
    """A packet of a trace, times in microseconds."""

    arrival: int
    sequence: int
    timestamp: int
    ssrc: int = 7
    size: int = 172


class Result(NamedTuple):
    """What came out: (time in us, sequence, timestamp, ssrc) of each packet, and the buffer's own figures."""

    packets: list[tuple[int, int, int, int]]
    late: int
    duplicate: int
    passed: int
    delay_us: int


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("playout") / "playout_driver"
    sources = [str(build.SOURCES / "playout.c"), str(Path(__file__).with_name("playout_driver.c"))]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{build.SOURCES}"]
    subprocess.run([build.compiler(), *flags, *build.SANITIZE, "-o", str(program), *sources], check=True)
    return program


def run(driver: Path, conf: tuple[int, int, int, int], trace: list[Sent]) -> Result:
    lines = [" ".join(map(str, line)) for line in (conf, *sorted(trace))]
    said = subprocess.run([driver], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    *packets, figures = [tuple(map(int, line.split())) for line in said.splitlines()]
    assert not any(bad for *_, bad in packets), "a packet changed while it waited"
    late, duplicate, passed, delay = figures
    return Result(
        [(at, seq, stamp, ssrc) for at, seq, stamp, ssrc, _ in packets], late, duplicate, passed, delay
    )


def arriving(trace: traces.Trace, *, first: int = 65000) -> list[Sent]:
    return [Sent(START_US + int(1000 * at), (first + n) % 65536, n * 160 % 2**32) for at, n in trace]


def jittered(jitter_ms: float, count: int = 3000, *, seed: int = 1, first: int = 65000) -> list[Sent]:
    """A trace whose RFC 3550 jitter is ``jitter_ms``; from 15 ms on, packets overtake each other."""
    return arriving(traces.reordering(jitter_ms, count, seed=seed), first=first)


def spacing_ms(packets: list[tuple[int, int, int, int]]) -> float:
    """The mean of how far the distance of two packets is from that of their timestamps, as RFC 3550 §6.4.1 counts it."""
    changes = [abs((b[0] - a[0]) - (b[2] - a[2]) * 125) for a, b in itertools.pairwise(packets)]
    return sum(changes) / len(changes) / 1000


MATCHING = [
    *((preset, traces.reordering(jitter, 3000, seed=1)) for preset, jitter in traces.MATCHING.items()),
    *(
        (preset, traces.piling(jitter, 3000, seed=1))
        for preset, jitter in (("lan", 5), ("wan", 15), ("internet", 25))
    ),
]


@pytest.mark.parametrize(
    ("preset", "made"), MATCHING, ids=[f"{name}-{traces.measured(made):.0f}ms" for name, made in MATCHING]
)
def test_the_matching_preset_evens_jitter(driver: Path, preset: str, made: traces.Trace) -> None:
    conf, trace = PRESETS[preset], arriving(made)
    found = run(driver, conf, trace)
    arrivals = {p.sequence: p.arrival for p in trace}
    waits = [at - arrivals[sequence] for at, sequence, _, _ in found.packets]
    assert spacing_ms(found.packets) < 2
    assert len(found.packets) + found.late == len(trace)
    assert found.late < 0.005 * len(trace)
    assert [p[2] for p in found.packets] == sorted(p[2] for p in found.packets), "the order is mended"
    assert min(waits) >= 0
    assert max(waits) <= conf[2] * 1000 + 1000
    assert found.delay_us <= conf[2] * 1000


@pytest.mark.parametrize("preset", traces.FIXED)
def test_a_fixed_buffer_keeps_its_delay(driver: Path, preset: str) -> None:
    delay = traces.FIXED[preset]
    found = run(driver, (0, delay, delay, delay), jittered(traces.MATCHING[preset]))
    assert spacing_ms(found.packets) < 2
    assert found.late <= 10
    assert found.delay_us <= delay * 1000


def test_a_fixed_buffer_drops_what_is_later_than_its_delay(driver: Path) -> None:
    found = run(driver, (0, 30, 30, 30), jittered(50))
    assert found.late > 300
    assert [p[2] for p in found.packets] == sorted(p[2] for p in found.packets)


def test_an_adaptive_buffer_grows_and_shrinks_again(driver: Path) -> None:
    calm, rough = jittered(1, 1500), jittered(30, 1500, seed=2)
    rough = [
        p._replace(
            arrival=p.arrival + 30_000_000,
            sequence=(p.sequence + 1500) % 65536,
            timestamp=p.timestamp + 240_000,
        )
        for p in rough
    ]
    after = [
        p._replace(
            arrival=p.arrival + 60_000_000,
            sequence=(p.sequence + 3000) % 65536,
            timestamp=p.timestamp + 480_000,
        )
        for p in jittered(1, 1500, seed=3)
    ]
    first, second, third = (
        run(driver, PRESETS["wan"], trace) for trace in (calm, calm + rough, calm + rough + after)
    )
    assert first.delay_us < 25_000
    assert 90_000 <= second.delay_us <= 200_000
    assert third.delay_us < 25_000
    assert len(third.packets) + third.late == 4500


def test_duplicates_pass_once_and_a_stranded_packet_is_late(driver: Path) -> None:
    trace = jittered(5, 200)
    again = [p._replace(arrival=p.arrival + 3000) for p in trace[50:60]]
    played = [p._replace(arrival=p.arrival + 300_000) for p in trace[100:103]]
    stranded = trace[150]._replace(arrival=trace[150].arrival + 400_000)
    found = run(driver, PRESETS["lan"], [*trace[:150], *trace[151:], *again, *played, stranded])
    assert found.duplicate == 13
    assert found.late == 1
    assert len(found.packets) == len({p[1] for p in found.packets}) == 199


def test_a_new_source_a_jump_and_a_pause_begin_anew(driver: Path) -> None:
    first = jittered(5, 100, first=10)
    other = [p._replace(arrival=p.arrival + 2_000_000, sequence=p.sequence + 40_000, ssrc=9) for p in first]
    jump = [
        p._replace(
            arrival=p.arrival + 4_000_000,
            sequence=p.sequence + 5000,
            timestamp=p.timestamp + 99_999_999,
            ssrc=9,
        )
        for p in first
    ]
    found = run(driver, PRESETS["lan"], first + other + jump)
    assert len(found.packets) == 300
    assert found.late == 0
    assert found.delay_us <= 80_000


def test_digits_of_one_timestamp_keep_their_order_and_are_not_late(driver: Path) -> None:
    trace = jittered(5, 200, first=10)
    events = [p._replace(timestamp=trace[100].timestamp) for p in trace[100:140]]
    found = run(driver, PRESETS["lan"], trace[:100] + events + trace[140:])
    assert found.late == 0
    assert [p[1] for p in found.packets] == [10 + n for n in range(200)]


def test_pairs_of_one_timestamp_on_a_path_that_grew_longer_are_not_held_for_ever(driver: Path) -> None:
    """The second of each pair is never late, so that nothing tells a fixed buffer to begin anew; it must follow."""
    trace = [
        Sent(START_US + n * 20_000 + 500 * half + (100_000 if n > 150 else 0), 2 * n + half, n * 160)
        for n in range(1000)
        for half in (0, 1)
    ]
    arrivals = {p.sequence: p.arrival for p in trace}
    found = run(driver, (0, 20, 20, 20), trace)
    assert max(at - arrivals[sequence] for at, sequence, _, _ in found.packets) <= 22_000
    assert len(found.packets) + found.late == len(trace)


def test_what_does_not_fit_is_passed_on_and_not_lost(driver: Path) -> None:
    large = [p._replace(size=1400) for p in jittered(15, 500)]
    huge = [p._replace(size=3000) for p in jittered(15, 100)]
    assert len(run(driver, PRESETS["satellite"], large).packets) >= 495
    assert len(run(driver, PRESETS["satellite"], huge).packets) == 100


def test_a_running_leg_evens_jitter_and_reports_its_delay(media: Media, phone: Any) -> None:
    left: Phone = phone()
    right: Phone = phone()
    jitter = {"mode": "adaptive", "min": 20, "max": 200, "start": 60}
    media.request("add", call="c", stream=0, a=media.leg(left, jitter=jitter), b=media.leg(right))
    to = media.counters("c")["a"]["local"]
    order = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9]
    for n in order:
        header = b"\x80\x00" + n.to_bytes(2, "big") + (n * 160).to_bytes(4, "big") + b"\0\0\0\7"
        left.send(header + bytes([n]) * 160, to)
        time.sleep(0.02)
    got = right.waiting(0.5)
    assert [packet[3] for packet in got] == sorted(order)
    assert all(packet[12:] == bytes([packet[3]]) * 160 for packet in got)
    assert 20 <= media.counters("c")["a"]["playout_ms"] <= 200
    assert media.counters("c")["b"]["playout_ms"] == 0
    media.request("change", call="c", stream=0, a={"jitter": None})
    left.send(b"\x80\x00\0\x0a" + (1600).to_bytes(4, "big") + b"\0\0\0\7" + bytes(160), to)
    assert right.receive()[3] == 10
    assert media.counters("c")["a"]["playout_ms"] == 0
