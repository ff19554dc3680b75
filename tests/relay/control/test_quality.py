"""The E-model against the figures that G.107 prints, and what the relay makes of a leg's counters."""

from __future__ import annotations

from typing import Any

import pytest

from vosctl.relay.control import quality


def leg(**fields: Any) -> dict[str, Any]:
    base = {
        "packets": 1000, "expected": 1000, "late": 0, "loss_runs": 0, "run_lost": 0, "ssrc": 7,
        "rtt_ms": None, "playout_ms": 0.0, "jitter_ms": 3.4,
    }  # fmt: skip
    return {**base, **fields}


def test_the_defaults_rate_93_2() -> None:
    assert quality.rating("PCMA") == pytest.approx(93.2, abs=0.05)
    assert quality.mos(quality.rating("PCMU")) == pytest.approx(4.41, abs=0.01)


@pytest.mark.parametrize(("factor", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_scores_of_annex_b(factor: float, score: float) -> None:
    assert quality.mos(factor) == pytest.approx(score, abs=0.01)


def test_scores_stay_within_the_scale() -> None:
    assert quality.mos(-5) == quality.mos(0) == 1.0
    assert quality.mos(3) >= 1.0
    assert quality.mos(120) == 4.5


def test_codecs_begin_below_g711() -> None:
    assert quality.rating("G729") == pytest.approx(82.2, abs=0.05)
    assert quality.rating("g723") == pytest.approx(78.2, abs=0.05)
    assert quality.rating("opus") == quality.rating("PCMA")


def test_delay_costs_little_up_to_150_ms_and_much_beyond() -> None:
    near, edge, far = (quality.rating("PCMA", delay_ms=ms) for ms in (20, 150, 400))
    assert 0 < near - edge < 5
    assert edge - far > 20


def test_loss_and_bursts_cost() -> None:
    clean, some, bursts = (
        quality.rating("PCMA"),
        quality.rating("PCMA", loss=5),
        quality.rating("PCMA", loss=5, burst_ratio=3),
    )
    assert clean - some == pytest.approx(95 * 5 / (5 + 25.1), abs=0.001)
    assert bursts < some


def test_late_packets_are_lost_ones() -> None:
    assert quality.loss_percent(leg(packets=990, late=10)) == pytest.approx(2.0)
    assert quality.loss_percent(leg(packets=0, expected=0)) == 0.0
    assert quality.loss_percent(leg(packets=1010)) == 0.0


def test_gaps_of_one_are_no_bursts() -> None:
    assert quality.burst_ratio(leg(loss_runs=10, run_lost=10)) == 1.0
    assert quality.burst_ratio(leg(loss_runs=2, run_lost=10)) == pytest.approx(4.95)


def test_a_leg_is_rated_with_both_trips_and_its_buffer() -> None:
    assert quality.leg_mos(leg(packets=0), leg(), "PCMA") is None
    assert quality.delay_ms(leg(rtt_ms=100.0, playout_ms=60.0), leg(rtt_ms=40.0)) == 130.0
    assert quality.leg_mos(leg(), leg(), "PCMA") == 4.41


def test_the_ng_report_has_scores_times_ten() -> None:
    described = [
        quality.described(leg(rtt_ms=30.2), leg(rtt_ms=9.9), "PCMA", 5),
        quality.described(leg(packets=0, ssrc=9), leg(), "PCMA"),
    ]
    report = quality.ng_report(described)
    assert list(report) == ["7"]
    assert report["7"]["average MOS"] == {
        "MOS": 44, "jitter": 3, "packet loss": 0, "round-trip time": 40, "round-trip time leg": 30,
        "samples": 1, "reported at": 5,
    }  # fmt: skip
    assert report["7"]["lowest MOS"]["MOS"] == report["7"]["highest MOS"]["MOS"] == 44
