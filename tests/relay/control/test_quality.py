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


def source(**fields: Any) -> dict[str, Any]:
    """A leg as the admin socket lists it."""
    base = leg(local=["192.0.2.1", 4000], stream=0, side="a", codec="PCMA", mos=4.4)
    return {**base, **fields}


def report(samples: quality.Samples, one: dict[str, Any]) -> dict[str, Any]:
    return quality.ng_report("c", [(one, leg(rtt_ms=9.9), "PCMA")], samples, 99)["7"]


def test_the_ng_report_has_scores_times_ten() -> None:
    told = report(quality.Samples(), source(rtt_ms=30.2))
    figures = {
        "MOS": 44, "jitter": 3, "packet loss": 0, "round-trip time": 40, "round-trip time leg": 30,
        "samples": 1, "reported at": 99,
    }  # fmt: skip
    assert told == {"average MOS": figures, "lowest MOS": figures, "highest MOS": figures}
    silent = (source(packets=0, ssrc=9), leg(), "PCMA")
    assert quality.ng_report("c", [silent], quality.Samples(), 0) == {}


def test_each_look_is_a_sample_of_what_came_since_the_last() -> None:
    """500 packets that all come, 500 of which every tenth is lost in pairs, 500 that all come; then silence."""
    samples = quality.Samples()
    for now, packets, expected, runs, lost in (
        (5, 500, 500, 0, 0),
        (10, 950, 1000, 25, 50),
        (15, 1450, 1500, 25, 50),
        (20, 1450, 1500, 25, 50),
    ):
        counted = {"packets": packets, "expected": expected, "loss_runs": runs, "run_lost": lost}
        samples.take([{"call-id": "c", "legs": [source(**counted)]}], now)
    told = report(samples, source(packets=1450, expected=1500))
    good = quality.mos(quality.rating("PCMA"))
    poor = quality.mos(quality.rating("PCMA", loss=10, burst_ratio=1.8))
    assert told["lowest MOS"]["MOS"] == round(10 * poor)
    assert told["highest MOS"]["MOS"] == round(10 * good)
    assert told["average MOS"]["MOS"] == round(10 * (2 * good + poor) / 3)
    assert [told[f"{kind} MOS"]["samples"] for kind in ("average", "lowest", "highest")] == [3, 1, 1]
    assert [told[f"{kind} MOS"]["packet loss"] for kind in ("average", "lowest", "highest")] == [3, 10, 0]
    assert [told[f"{kind} MOS"]["reported at"] for kind in ("average", "lowest")] == [15, 10]


def test_samples_are_as_many_as_the_sources_that_are_there() -> None:
    samples = quality.Samples()
    for ssrc in range(1, 1000):
        samples.take([{"call-id": "c", "legs": [source(ssrc=ssrc), source(ssrc=ssrc, side="b")]}], ssrc)
        assert len(samples) <= 2
    samples.take([], 1000)
    assert len(samples) == 0


def test_counters_that_begin_anew_are_no_sample() -> None:
    samples = quality.Samples()
    samples.take([{"call-id": "c", "legs": [source()]}], 1)
    samples.take([{"call-id": "c", "legs": [source(packets=10, expected=10)]}], 2)
    assert report(samples, source())["average MOS"]["samples"] == 1


@pytest.mark.parametrize(
    ("codec", "ie", "bpl"),
    [
        ("PCMU", 0, 25.1), ("G729", 11, 19.0), ("G723", 15, 16.1), ("GSM-EFR", 5, 10.0), ("AMR", 5, 10.0), ("GSM", 20, 10.0),
        ("G726-32", 7, 10.0), ("G728", 7, 10.0), ("iLBC", 11, 19.0), ("opus", 0, 25.1), ("G722", 0, 25.1),
    ],
)  # fmt: skip
def test_codecs_are_rated_as_g113_has_them(codec: str, ie: float, bpl: float) -> None:
    """At 5 % of random loss (G.107 equation 7-29)."""
    lost = quality.rating("PCMU") - quality.rating(codec, loss=5)
    assert lost == pytest.approx(ie + (95 - ie) * 5 / (5 + bpl))
