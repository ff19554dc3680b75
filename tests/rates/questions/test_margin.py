from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.cli.main import run

SITE = str(Path(__file__).parents[3] / "playbooks/site.yml")


@pytest.fixture
def ask(capsys):
    def asked(*words):
        assert run(["rates", "margin", *words, SITE, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return asked


def test_the_guide_s_example(ask):
    assert ask("--price", "0.015", "--cost", "0.010") == {
        "profit": "0.005",
        "margin_percent": "33.33",
        "markup_percent": "50.00",
    }


def test_each_prefix_against_the_vendor_that_is_tried_first(ask):
    found = {each["prefix"]: each for each in ask("--from", "wholesale")}
    assert found.keys() == {"44", "4420", "447", "49", "4915"}
    row = found["44"]
    assert (row["vendor"], row["price"], row["cost"]) == ("polar", "0.0095000000", "0.0058000000")
    assert (row["margin_percent"], row["markup_percent"]) == (
        "38.95",
        "63.79",
    )  # 0.0037 of 0.0095 and of 0.0058
    assert found["49"]["vendor"] == "quartz"


def test_a_vendor_that_a_guard_locks_is_shown_when_it_is_named(ask):
    (row,) = ask("--from", "wholesale", "--vendor", "quartz", "--losing")
    assert row["prefix"] == "4420" and row["locked"].startswith("profit is -0.000005 a second")
    assert row["margin_percent"] == "-2.40"


def test_a_call_s_length_brings_increments_and_fees_in(ask):
    (row,) = (each for each in ask("--from", "retail", "--seconds", "45") if each["prefix"] == "4915")
    assert Decimal(row["price"]) == Decimal("0.065")  # 0.01 to connect and a begun minute of 0.055
    assert Decimal(row["cost"]) == Decimal("0.0059") * 45 / 60


def test_customers_and_vendors_in_summary(ask):
    customers = {each["name"]: each for each in ask("--by", "customer")}
    assert customers["wholesale"]["prefixes"] == 5 and customers["wholesale"]["losing"] == 0
    assert customers["wholesale"]["lowest_percent"] == "38.95"
    assert customers["retail"]["losing"] > 0
    assert {each["name"] for each in ask("--by", "vendor", "--from", "retail")} == {"polar", "quartz"}


def test_people_see_the_lowest_margins_first_and_are_told_of_the_rest(capsys):
    assert run(["rates", "margin", "--from", "retail", SITE]) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = [Decimal(line.split(" %")[0].split()[-1]) for line in lines if line.startswith("retail")]
    assert len(shares) == 20 and shares == sorted(shares) and shares[0] < 0
    assert lines[-1].startswith("and 3,") and "--all" in lines[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--price", "1"], "--price 0.015 --cost 0.010"),
        (["--from", "wholesail"], "did you mean 'wholesale'?"),
        (["--vendor", "quarz"], "did you mean 'quartz'?"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words, said, capsys):
    assert run(["rates", "margin", *words, SITE]) == 64
    assert said in capsys.readouterr().err
