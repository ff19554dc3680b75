"""Alerts: when one is raised, over what, and when it is over."""

from __future__ import annotations

import pytest

from vosctl.relay.control.alerts import Watchman
from vosctl.relay.control.settings import Alerts

LIMITS = Alerts()


def call(name="c", **leg):
    made = {"stream": 0, "side": "a", "name": "acme", "expected": 0, "lost": 0, "jitter_ms": 1.0}
    return {"call-id": name, "to-tag": "t", "legs": [{**made, **leg}]}


def states(alerts):
    return [(alert.state, alert.peer, alert.figure) for alert in alerts]


def test_loss_is_of_the_packets_since_the_last_look():
    watchman = Watchman()
    assert watchman.look([call(expected=1000, lost=9)], LIMITS) == []
    (alert,) = watchman.look([call(expected=1500, lost=14)], LIMITS)
    assert (alert.state, alert.value, alert.threshold, alert.call) == ("raised", 1.0, 1.0, "c")
    assert str(alert) == "alert: loss 1 % at `acme`, threshold 1 %, worst in call c"
    assert watchman.look([call(expected=2000, lost=24)], LIMITS) == []
    # Wavering around the threshold is no news; well below it is.
    assert watchman.look([call(expected=3000, lost=33)], LIMITS) == []
    (alert,) = watchman.look([call(expected=4000, lost=33)], LIMITS)
    assert str(alert) == "alert over: loss 0 % at `acme`, threshold 1 %"


def test_loss_is_over_all_calls_of_a_gateway_and_names_the_worst():
    calls = [call("good", expected=9000), call("bad", expected=1000, lost=150)]
    (alert,) = Watchman().look(calls, LIMITS)
    assert (alert.value, alert.call) == (1.5, "bad")
    calls = [call("good", expected=99_000), call("bad", expected=1000, lost=150)]
    assert Watchman().look(calls, LIMITS) == []


@pytest.mark.parametrize(
    ("leg", "figure"),
    [
        ({"jitter_ms": 30.0}, "jitter"), ({"rtt_ms": 400.0}, "latency"),
        ({"rtt_ms": 200.0, "playout_ms": 100.0}, "latency"), ({"jitter_ms": 29.9, "rtt_ms": 399.0}, None),
    ],
)  # fmt: skip
def test_jitter_and_latency(leg, figure):
    found = states(Watchman().look([call(expected=100, **leg)], LIMITS))
    assert found == ([("raised", leg.get("name", "acme"), figure)] if figure else [])


def test_a_handful_of_packets_raises_nothing():
    assert Watchman().look([call(expected=49, lost=20, jitter_ms=90.0)], LIMITS) == []


def test_an_alert_is_over_when_the_calls_are():
    watchman = Watchman()
    assert states(watchman.look([call(expected=100, lost=50)], LIMITS)) == [("raised", "acme", "loss")]
    assert states(watchman.look([], LIMITS)) == [("cleared", "acme", "loss")]
    assert watchman.look([], LIMITS) == []


def test_a_threshold_of_zero_is_none():
    assert Watchman().look([call(expected=100, lost=50)], Alerts(loss=0)) == []
