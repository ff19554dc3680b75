from __future__ import annotations

import json
import random
from decimal import Decimal
from fractions import Fraction

import pytest

from vosctl.cli.main import run
from vosctl.rates.effective import Exponential, Increment, Measured, effective

CALLS = Measured({Decimal(32): 1, Decimal(57): 1, Decimal(75): 1, Decimal(0): 5})


# 32, 57 and 75 s are 164 s; at 30/6 they are charged as 36 + 60 + 78 = 174 s, at 60/60 as 60 + 60 + 120 = 240 s.
@pytest.mark.parametrize(
    ("increment", "charged"), [((1, 1), 164), ((6, 6), 174), ((30, 6), 174), ((60, 60), 240), ((0, 60), 240)]
)
def test_measured_calls(increment, charged):
    (found,) = effective(Decimal("0.006"), [Increment(*increment)], CALLS)
    assert found.billed == Fraction(charged, 3)
    assert found.rate == Fraction("0.006") * charged / 164
    assert found.excess == Fraction(charged - 164, 164) * 100


def test_fractions_of_a_second_begin_a_cycle():
    assert [Increment(1, 1).billed(Decimal(text)) for text in ("0", "0.001", "1", "1.001")] == [0, 1, 1, 2]
    assert Increment(30, 6).billed(Decimal("30.5")) == 36


def test_the_exponential_series_is_what_drawn_calls_come_to():
    draw = random.Random(7)
    calls: dict[Decimal, int] = {}
    for _ in range(100_000):
        seconds = Decimal(round(draw.expovariate(1 / 120) * 1000) + 1) / 1000
        calls[seconds] = calls.get(seconds, 0) + 1
    for increment in (Increment(60, 60), Increment(30, 6), Increment(1, 1)):
        series, drawn = (spread.billed(increment) for spread in (Exponential(Decimal(120)), Measured(calls)))
        assert abs(series / drawn - 1) < Fraction(1, 100), increment


def test_nobody_answered():
    with pytest.raises(ValueError, match="no answered call"):
        Measured({Decimal(0): 3})


def test_the_question_on_the_command_line(capsys):
    words = ["--rate", "0.006", "--durations", "32,57,75", "--increment", "60", "--increment", "30/6"]
    assert run(["rates", "effective", *words]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows == [
        ["60/60", "80.00", "0.008780", "+46.34", "%"],
        ["30/6", "58.00", "0.006366", "+6.10", "%"],
    ]


def test_calls_as_they_were(tmp_path, capsys):
    calls = tmp_path / "calls.csv"
    calls.write_text("callee,duration_ms\n4420,32000\n4420,57000\n+49151,75000\n4420,0\n", encoding="utf-8")
    words = ["--rate", "0.006", "--increment", "30/6"]
    assert run(["rates", "effective", *words, "--cdrs", str(calls), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["durations"] == "3 answered calls"
    assert found["increments"][0]["rate"] == "0.00636585"  # 0.006 × 174 ÷ 164
    calls.write_text("callee,duration_ms\n4420,0\n", encoding="utf-8")
    assert run(["rates", "effective", "--cdrs", str(calls)]) == 64
    assert "no answered call" in capsys.readouterr().err
    calls.write_text("callee,duration_ms\n4420,soon\n", encoding="utf-8")
    assert run(["rates", "effective", "--cdrs", str(calls)]) == 1
    assert "calls.csv:2" in capsys.readouterr().err


def test_the_answer_for_programs(capsys):
    assert run(["rates", "effective", "--mean", "45s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["increment"] for each in found["increments"]] == ["60/60", "30/6", "6/6", "1/1"]
    assert found["mean_seconds"] == "45.000" and found["increments"][0]["charged_seconds"] == "81.477"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--increment", "0"], "as 30/6"),
        (["--increment", "60/0"], "as 30/6"),
        (["--durations", "32:many"], "32:120,57:80"),
        (["--durations", "0:5"], "no answered call"),
        (["--mean", "0"], "--mean 3m"),
        (["--mean", "60", "--durations", "60"], "said twice"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words, said, capsys):
    assert run(["rates", "effective", *words]) == 64
    assert said in capsys.readouterr().err
