from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from vosctl.cli.main import run
from vosctl.rates.breakeven import Business, break_even


def test_the_guide_s_example():
    """2,000 a month at 0.002 a minute, calls of three minutes: 1,000,000 minutes, 333,333⅓ calls, 0.13 a second."""
    found = break_even(Business(fixed=Decimal(2000), profit=Decimal("0.002")))
    assert found.minutes == 1_000_000
    assert found.calls == Fraction(1_000_000, 3)
    assert found.calls_a_second == Fraction(1_000_000, 3 * 30 * 24 * 3600)  # 0.12860…
    assert found.at_once == Fraction(1_000_000, 30 * 24 * 60)


def test_one_call_fewer_does_not_pay():
    business = Business(fixed=Decimal(2000), profit=Decimal("0.002"))
    earned = [Fraction(business.minute) * 3 * calls for calls in (333_333, break_even(business).whole_calls)]
    assert earned[0] < 2000 <= earned[1]


def test_failed_attempts_are_paid_too():
    """At an ASR of 25 % three attempts fail for each call: 3 × 0.001 of a call's 3 × 0.002 are gone."""
    business = Business(Decimal(3000), Decimal("0.002"), asr=Decimal(25), failed=Decimal("0.001"))
    assert business.minute == Fraction("0.001")
    found = break_even(business)
    assert found.minutes == 3_000_000
    assert found.attempts_a_second == 4 * found.calls_a_second


def test_what_earns_nothing_pays_nothing():
    with pytest.raises(ValueError, match="earns nothing"):
        break_even(Business(Decimal(1), Decimal(0)))


def test_the_question_on_the_command_line(capsys):
    assert run(["rates", "breakeven", "--fixed", "2000", "--price", "0.010", "--cost", "0.008"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = {line[0] if line[1] != "a" else "cps": line[-1] for line in lines if len(line) > 3}
    assert (shown["minutes"], shown["cps"]) == ("1,000,000", "0.13")


def test_the_answer_for_programs_is_text_not_binary_fractions(capsys):
    assert run(["rates", "breakeven", "--fixed", "2000", "--profit", "0.002", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["minutes"] == "1000000.00" and found["calls"] == 333_334
    assert not any(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--profit", "0"], "no traffic pays 2000 a month"),
        (["--price", "0.01"], "--price 0.010 --cost 0.008"),
        (["--profit", "0,002"], "0.002"),
        (["--profit", "0.002", "--call", "0"], "calls of 0 seconds"),
        (["--profit", "0.002", "--call", "3 hens"], "write 75, 75.5, 3m or 1:15"),
        (["--profit", "0.002", "--asr", "101"], "101 is more than 100"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words, said, capsys):
    assert run(["rates", "breakeven", "--fixed", "2000", *words]) == 64
    assert said in capsys.readouterr().err
