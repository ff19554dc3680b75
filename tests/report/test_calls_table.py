"""The Current Call monitor's table: what is shown, in which order, in which colour."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from vosctl.report import calls as monitor
from vosctl.report.calls import THRESHOLDS, Choice, choose, delay, loss, summary, table


def leg(name="acme", **figures):
    made = {
        "name": name, "codec": "PCMA", "kid": "", "mode": "none", "packets": 1000, "expected": 1000, "lost": 0,
        "jitter_ms": 1.0, "learned": ["192.0.2.1", 4000], "remote": None, "key_mismatch": False,
    }  # fmt: skip
    return {**made, **figures}


def call(name, *legs, started=100.0, **fields):
    made = {"call-id": name, "from": "acme", "to": "ab", "started": started, "answered": True}
    return {**made, "legs": list(legs) or [leg()], **fields}


def shown(calls, choice=None, **console):
    wide = Console(width=200, record=True, file=None, markup=False, highlight=False, **console)
    with wide.capture() as capture:
        wide.print(table({"edge-a": calls}, choice or Choice(), now=3700.0))
    return capture.get()


@pytest.mark.parametrize(
    ("figure", "value", "style"),
    [
        ("loss", 0.49, "green"), ("loss", 0.5, "yellow"), ("loss", 2.0, "bold red"),
        ("jitter", 19.9, "green"), ("jitter", 20.0, "yellow"), ("jitter", 50.0, "bold red"),
        ("delay", 149.0, "green"), ("delay", 150.0, "yellow"), ("delay", 300.0, "bold red"),
        ("rtt", 299.0, "green"), ("rtt", 300.0, "yellow"), ("rtt", 500.0, "bold red"), ("rtt", None, "dim"),
    ],
)  # fmt: skip
def test_colours(figure, value, style):
    assert THRESHOLDS[figure].style(value) == style


def test_what_a_row_says():
    text = shown([call("one", leg(lost=10, jitter_ms=21.5, kid="k1", rtt_ms=320, playout_ms=60, mos=3.9))])
    assert text.splitlines()[1].split() == [
        "edge-a", "one", "1:00:00", "acme", "PCMA", "k1", "1000", "1.00", "21.5", "220.0", "320.0", "3.90",
        "192.0.2.1:4000",
    ]  # fmt: skip


def test_colours_reach_the_terminal():
    text = shown([call("one", leg(lost=30))], force_terminal=True, color_system="standard", no_color=False)
    assert re.search(r"\x1b\[1;31m *3\.00\x1b\[0m", text)


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (80, "call age leg packets loss % jitter delay rtt MOS"),
        (90, "call age leg codec packets loss % jitter delay rtt MOS"),
        (100, "node call age leg codec key packets loss % jitter delay rtt MOS"),
        (120, "node call age leg codec key packets loss % jitter delay rtt MOS media from"),
    ],
)
def test_a_narrow_terminal_keeps_the_figures(width, headings):
    bad = leg(
        "a-gateway-with-a-long-name", lost=330, jitter_ms=123.4, rtt_ms=1420.5, mos=1.63, key_mismatch=True
    )
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        calls = {"edge-a": [call("a84b4c76e66710@gw.example.net", bad, leg(ptime_ms=20.0))]}
        console.print(table(calls, Choice(), now=3700.0, width=width))
    head, *rows = capture.get().splitlines()
    assert " ".join(head.split()) == headings
    for figure in ("1000", "33.00", "123.4", "710.2", "1420.5", "1.63", "1:00:00"):
        assert f" {figure}" in rows[0], figure
    assert ("PCMA/20" in "".join(rows)) is (width > 80)
    # A wrong key is seen in any width.
    assert "KEY?" in rows[0] if width < 96 else "MISMATCH"[:4] in "".join(rows)


def test_several_nodes_are_told_apart_on_any_terminal():
    found = {"edge-a": [call("one")], "edge-b": [call("two")]}
    assert table(found, Choice(), now=3700.0, width=80).columns[0].header == "node"


def test_what_is_not_known_is_a_dash():
    assert loss(leg(expected=0)) is None
    assert delay(leg()) is None
    assert loss(leg(lost=-5)) == 0.0
    cells = shown([call("one", leg(packets=0, expected=0, learned=None, codec=""))]).splitlines()[1].split()
    assert cells[4:] == ["-", "none", "0", "-", "-", "-", "-", "-", "-"]


def test_a_call_without_media_here_is_a_row_too():
    assert "acme to ab, no media here" in shown([call("one", legs=[])])
    assert "one (rings)" in shown([call("one", answered=False)])


def names(calls, **choice):
    return [found["call-id"] for found in choose(calls, Choice(**choice))]


CALLS = [
    call("b", leg(lost=5), started=50.0, to="zz"),
    call("a", leg(jitter_ms=60.0, packets=5, rtt_ms=10), started=150.0),
    call("c", leg(mos=3.0), leg("ab", rtt_ms=700), started=100.0),
]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("age", "bca"), ("call", "abc"), ("loss", "bac"), ("jitter", "abc"), ("rtt", "cab"), ("mos", "cba"),
        ("packets", "cba"), ("to", "acb"), ("delay", "cab"), ("from", "acb"),
    ],
)  # fmt: skip
def test_orders(sort, order):
    assert "".join(names(CALLS, sort=sort)) == order
    assert set(monitor.ORDERS) == {
        *["age", "call", "loss", "jitter", "rtt", "mos", "packets", "to", "delay", "from"]
    }


def test_filters():
    assert names(CALLS, sort="call", reverse=True, top=2) == ["c", "b"]
    assert names(CALLS, name="zz") == ["b"]
    assert names(CALLS, text="c") == ["c"]
    assert names([*CALLS, call("good")], poor=True) == ["b", "c", "a"]
    assert names([call("good"), call("key", leg(key_mismatch=True))], poor=True) == ["key"]


def test_summary():
    nodes = {"edge-a": CALLS, "edge-b": [call("good")]}
    assert summary(nodes, Choice()) == "4 calls, 3 with a figure that is not good"
    assert summary(nodes, Choice(name="zz")) == "4 calls, 1 shown, 3 with a figure that is not good"
    assert summary({"edge-a": [call("good")]}, Choice()) == "1 call"


def test_a_call_id_cannot_move_the_cursor():
    assert "\x1b" not in shown([call("x\x1b[2Jy", leg(name="\x1b]0;t\x07"))])


def test_a_suspected_key_mismatch_is_named():
    assert "k1 MISMATCH" in shown([call("one", leg(kid="k1", key_mismatch=True))])
