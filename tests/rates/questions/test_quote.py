"""Quotes of the example site, of one with private rates, sections and taxes, and their arithmetic."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from vosctl.cli.main import run

ROOT = Path(__file__).parents[3]
FULL = ROOT / "tests/site/positive/rates-in-full"


@pytest.fixture
def ask(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def asked(*words, site=ROOT / "playbooks/site.yml"):
        place = (str(site),) if site.is_file() else ("-i", str(site))
        code = run(["rates", "quote", *words, *place, "--json"])
        return code, json.loads(capsys.readouterr().out)["quotes"]

    return asked


def test_the_example_call(ask):
    """75 s at 0.0125 by the second are 0.015625; the vendor's 78 s at 0.0058 are 0.00754."""
    code, (found,) = ask("+44 20 7123 4567", "--from", "wholesale", "--seconds", "75")
    assert code == 0
    assert (found["nodes"], found["number"]) == (["edge-a"], "442071234567")
    assert found["prices"][0]["amount"] == "0.015625" and found["prices"][0]["prefix"] == "4420"
    best = found["vendors"][0]
    assert (best["vendor"], best["cost"]["amount"], best["profit"]) == ("polar", "0.007540", "0.008085")
    assert (best["margin_percent"], best["markup_percent"]) == ("51.74", "107.23")


def test_the_guard_s_verdict_is_shown(ask):
    _, (found,) = ask("442071234567", "--from", "wholesale", "--seconds", "75")
    quartz = next(each for each in found["vendors"] if each["vendor"] == "quartz")
    assert not quartz["open"] and quartz["profit"] == "-0.000375"
    assert quartz["guard"] == "locked: profit is -0.000005 a second, the lowest allowed is 0.00002"


def test_each_group_is_quoted_when_nobody_is_named(ask):
    _, found = ask("4915123")
    assert [each["from"] for each in found] == ["wholesale", "retail"]


def test_a_customer_s_gateway_is_charged_by_its_group(ask):
    _, (found,) = ask("4915123", "--from", "callshop", "--seconds", "1:01")
    assert found["prices"][0]["source"] == "group retail"
    assert found["prices"][0]["amount"] == "0.120000"  # 0.01 to connect and two minutes of 0.055


def test_the_lines_add_up_to_what_is_charged(ask):
    for number, seconds in (("4915123", "61"), ("44712345", "75.5"), ("442012", "3601")):
        _, found = ask(number, "--seconds", seconds)
        for each in found:
            for price in (each["prices"][0], each["vendors"][0]["cost"]):
                exact = sum(Fraction(line["exact"]) for line in price["lines"])
                assert abs(exact - Fraction(price["charged"])) <= Fraction(1, 2_000_000)


def test_the_cheapest_of_group_and_account_is_charged(ask):
    _, (found,) = ask(
        "4930222222",
        "--from",
        "acme",
        "--at",
        "2026-09-21T13:00",
        "--seconds",
        "60",
        "-l",
        "edge-a",
        site=FULL,
    )
    assert [(each["source"], each["charged"]) for each in found["prices"]] == [
        ("account acme", "0.011000"),
        ("group retail", "0.0238"),  # 0.02 and 19 % tax
    ]


def test_time_decides_the_row_and_tax_is_no_profit(ask):
    """At night 0.01 a minute; 60 s and 19 % tax are 0.0119; the vendor's 0.0125 USD are 0.0115 EUR."""
    words = ("4940222222", "--from", "retail", "--at", "2026-09-21T22:30+02:00", "-l", "edge-a")
    _, (found,) = ask(*words, site=FULL)
    assert found["prices"][0]["charged"] == "0.0119"
    assert [line["what"] for line in found["prices"][0]["lines"]] == ["60 s", "tax"]
    vendor = found["vendors"][0]
    assert (vendor["cost"]["charged"], vendor["cost"]["currency"]) == ("0.012500", "USD")
    assert Decimal(vendor["cost"]["amount"]) == Decimal("0.0115")
    assert Decimal(vendor["profit"]) == Decimal("-0.0015")


def test_volume_and_packages_count(ask):
    words = ("4940222222", "--from", "acme", "--at", "2026-09-21T13:00", "-l", "edge-a")
    _, (found,) = ask(*words, "--used", "10000", site=FULL)
    assert found["prices"][0]["charged"] == "0.0232"  # 0.02 less 2.5 %, and 19 %: 0.023205
    _, (found,) = ask(*words, "--package-left", "60", site=FULL)
    assert Decimal(found["prices"][0]["charged"]) == 0


CASES = ROOT / "tests/rates/cases/site"


def test_a_phone_is_charged_the_cheapest_of_its_three_decks(ask):
    _, (found,) = ask("33123", "--from", "+33123456789", "--at", "2026-12-01", site=CASES)
    assert [each["source"] for each in found["prices"]] == [
        "phone 33123456789",
        "account acme",
        "group retail",
    ]
    assert [Decimal(each["amount"]) for each in found["prices"]] == list(
        map(Decimal, ("0.0205", "0.021", "0.03"))
    )


def test_other_currencies_are_shown_before_and_after_they_are_changed(capsys):
    assert run(["rates", "quote", "13051234", "--from", "dollars", "--seconds", "61", "-i", str(CASES)]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"charged +rounded to 6 places, half-up +0\.020000 USD", shown)
    assert re.search(r"exchanged +0\.020000 × 0\.92 +0\.018400 EUR", shown)
    assert "no vendor may carry it" in shown


def test_what_nobody_sells(capsys):
    assert run(["rates", "quote", "8812", "--from", "acme", str(ROOT / "playbooks/site.yml")]) == 1
    assert "nobody sells it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["44", "--from", "walesale"], "did you mean 'wholesale'?"),
        (["fortyfour"], "is not a telephone number"),
        (["44", "--at", "noon"], "2026-11-23T18:30"),
        (["44", "--seconds", "-5"], "is not a duration"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words, said, capsys):
    assert run(["rates", "quote", *words, str(ROOT / "playbooks/site.yml")]) == 64
    assert said in capsys.readouterr().err


def test_people_see_the_arithmetic(capsys):
    assert (
        run(
            [
                "rates",
                "quote",
                "442071234567",
                "--from",
                "wholesale",
                "--seconds",
                "75",
                "--at",
                "2026-11-23",
                str(ROOT / "playbooks/site.yml"),
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert re.search(r"75 s +75 × 1 s: 0\.0125 × 75 ÷ 60 +0\.015625\b", shown)
    assert re.search(r"13 × 6 s: 0\.0058 × 78 ÷ 60 +0\.00754\b", shown)
    assert re.search(r"group_vars/all/rates\.yml:\d+", shown)
    assert re.search(r"margin +0\.008085 ÷ 0\.015625 +51\.74 %", shown)
