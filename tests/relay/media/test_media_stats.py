"""Loss, order, duplicates and jitter of the C counters against RFC 3550's own arithmetic in Python."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from vosctl.relay.media import build

Trace = list[tuple[int, int, int, int, int]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("stats") / "stats_driver"
    sources = [str(build.SOURCES / "stats.c"), str(Path(__file__).with_name("stats_driver.c"))]
    command = [
        build.compiler(),
        "-std=c11",
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{build.SOURCES}",
    ]
    subprocess.run([*command, "-o", str(program), *sources], check=True)
    return program


def counted(driver: Path, trace: Trace) -> dict[str, int]:
    text = "".join(" ".join(map(str, line)) + "\n" for line in trace)
    return json.loads(subprocess.run([driver], input=text, capture_output=True, text=True, check=True).stdout)


def reference(trace: Trace, clock: int = 8000) -> dict[str, int]:
    """RFC 3550 A.1 without probation, A.3 and A.8, written from the text for one source without a restart."""
    cycles, base, highest, seen = 0, None, 0, set()
    jitter, transit = 0, None
    reordered = duplicate = 0
    for arrival_us, seq, timestamp, _, _ in trace:
        if base is None:
            base = highest = seq
        elif (ahead := (seq - highest) % 65536) and ahead < 3000:
            cycles += 65536 * (seq < highest)
            highest = seq
        elif seq in seen:
            duplicate += 1
        else:
            reordered += 1
        seen.add(seq)
        now = (arrival_us * clock // 1_000_000 - timestamp) % 2**32
        if transit is not None:
            change = abs((now - transit + 2**31) % 2**32 - 2**31)
            jitter += change - ((jitter + 8) >> 4)
        transit = now
    return {
        "packets": len(trace),
        "expected": cycles + highest - base + 1,
        "reordered": reordered,
        "duplicate": duplicate,
        "jitter_us": (jitter >> 4) * 1_000_000 // clock,
        "sources": 1,
    }


@pytest.mark.parametrize(("pt", "clock"), [(8, 8000), (111, 48000)])
@pytest.mark.parametrize("ptime", [10, 20, 30, 60])
def test_packet_time_is_seen_through_loss_pauses_and_digits(
    driver: Path, pt: int, clock: int, ptime: int
) -> None:
    chance, step = random.Random(ptime), clock * ptime // 1000
    trace, stamp = [], 4_294_000_000
    for number in range(400):
        # Silence is not sent now and then; digits keep the timestamp that they began with.
        stamp += (
            0 if number % 50 in range(20, 25) else step * (chance.randrange(5, 40) if number % 70 == 0 else 1)
        )
        if chance.random() > 0.05:
            trace.append((number * ptime * 1000, (65500 + number) % 65536, stamp % 2**32, 7, pt))
    assert counted(driver, trace)["ptime_us"] == ptime * 1000
    assert counted(driver, trace[:1])["ptime_us"] == 0


def made_trace(
    seed: int, *, packets: int = 2000, first: int = 64000, loss: float = 0.03, spread_us: int = 15000
) -> Trace:
    """50 packets a second with loss, jitter that reorders, duplicates, and a sequence number that wraps."""
    chance = random.Random(seed)
    trace = []
    for number in range(packets):
        if number and chance.random() < loss:
            continue
        line = ((first + number) % 65536, (4294900000 + 160 * number) % 2**32, 77, 8)
        arrival = 5_000_000 + 20_000 * number + (chance.randrange(spread_us) if number else 0)
        trace.append((arrival, *line))
        if number and chance.random() < 0.01:
            trace.append((arrival + chance.randrange(30_000), *line))
    return sorted(trace)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spread_us", [1, 15_000, 60_000])
def test_a_rough_network(driver: Path, seed: int, spread_us: int) -> None:
    trace = made_trace(seed, spread_us=spread_us)
    expected = reference(trace)
    got = counted(driver, trace)
    assert {name: got[name] for name in expected} == expected
    if spread_us == 60_000:
        assert expected["reordered"] > 50
        assert expected["duplicate"] > 5


def test_a_clean_network_has_no_loss_and_no_jitter(driver: Path) -> None:
    trace = [(20_000 * n, (64000 + n) % 65536, 160 * n, 77, 8) for n in range(2000)]
    assert counted(driver, trace) == {
        "packets": 2000, "expected": 2000, "reordered": 0, "duplicate": 0, "jitter_us": 0, "sources": 1,
        "loss_runs": 0, "run_lost": 0, "burst_lost": 0, "ptime_us": 20000,
    }  # fmt: skip


def test_a_new_source_and_a_restart_add_up(driver: Path) -> None:
    """A new SSRC, and a jump of the sequence number that the next packet confirms, begin again without loss."""
    lines: Trace = [(20_000 * n, 100 + n, 160 * n, 1, 8) for n in range(50)]
    lines += [(20_000 * n, 9000 + n, 160 * n, 2, 8) for n in range(50, 100)]
    lines += [(20_000 * n, 40000 + n, 160 * n, 2, 8) for n in range(100, 150)]
    got = counted(driver, lines)
    assert (got["packets"], got["sources"]) == (150, 3)
    assert got["expected"] == 150


def test_a_single_stray_number_changes_nothing(driver: Path) -> None:
    lines: Trace = [(20_000 * n, 100 + n, 160 * n, 1, 8) for n in range(50)]
    lines.insert(25, (20_000 * 25 - 10, 50_000, 160 * 25, 1, 8))
    got = counted(driver, lines)
    assert (got["packets"], got["expected"], got["sources"]) == (51, 51, 1)


def test_jitter_runs_on_the_payload_types_clock(driver: Path) -> None:
    """20 ms are 960 ticks of a 48 kHz clock; telephone events of 8 kHz in between do not disturb it."""
    lines: Trace = [(20_000 * n, n, 960 * n, 1, 111) for n in range(100)]
    assert counted(driver, lines)["jitter_us"] == 0
    lines[50] = (20_000 * 50, 50, 123_456_789, 1, 101)
    assert counted(driver, lines)["jitter_us"] == 0
    wrong: Trace = [(20_000 * n, n, 960 * n, 1, 8) for n in range(100)]
    assert counted(driver, wrong)["jitter_us"] > 10_000


def test_gaps_that_stay_are_counted_and_those_that_fill_are_not(driver: Path) -> None:
    missing = {100, 200, 201, 300, 301, 302, 500}
    late = (20_000 * 506, 500, 160 * 500, 77, 8)
    trace = sorted([*((20_000 * n, n, 160 * n, 77, 8) for n in range(700) if n not in missing), late])
    got = counted(driver, trace)
    assert (got["loss_runs"], got["run_lost"], got["burst_lost"]) == (3, 6, 5)


def test_a_gap_longer_than_the_window_is_one_run(driver: Path) -> None:
    trace = [
        (20_000 * n, n % 65536, 160 * n, 77, 8) for n in range(65_000, 65_700) if not 65_200 <= n < 65_500
    ]
    got = counted(driver, trace)
    assert (got["loss_runs"], got["run_lost"], got["burst_lost"]) == (1, 300, 300)
