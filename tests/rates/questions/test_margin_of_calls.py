"""Margins of calls that were made: by the decks, worked out by hand, and what the switch's amounts deviate."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.cli.main import run

pytest.importorskip("duckdb", reason="calls in bulk need pip install 'vosctl[rates]'")

SITE = str(Path(__file__).parents[3] / "playbooks/site.yml")
# acme is sold 4420 at 0.0125 by the second, polar takes 0.0058 at 6/6; the second call was billed 0.0002 too dear by
# polar. callshop is sold 50254 at 0.0189 at 60/60, polar takes 0.0262 by the second. Nobody sells acme 33.
CALLS = str(Path(__file__).parents[1] / "cases/yesterday.csv")


@pytest.fixture
def ask(capsys):
    def asked(*words):
        assert run(["rates", "margin", "--cdrs", CALLS, *words, SITE, "--json"]) == 0
        return {each["name"]: each for each in json.loads(capsys.readouterr().out)}

    return asked


def test_by_customer(ask):
    found = ask("--by", "customer")
    assert list(found) == ["callshop", "acme"]  # the lowest profit first
    shop, acme = found["callshop"], found["acme"]
    assert Decimal(shop["revenue"]) == Decimal("0.0378") + Decimal("0.0756")
    assert Decimal(shop["cost"]) == Decimal("0.03275") + Decimal("0.1048")
    assert Decimal(shop["profit"]) == Decimal("-0.02415") and shop["margin_percent"] == "-21.30"
    assert (shop["calls"], shop["said"], Decimal(shop["deviation"])) == (2, 1, 0)
    assert Decimal(acme["profit"]) == Decimal("0.028125") - Decimal("0.01334")
    assert (acme["calls"], acme["unpriced"], acme["minutes"]) == (3, 1, "2.250000")
    assert Decimal(acme["deviation"]) == Decimal("-0.0002")


def test_by_vendor_and_by_prefix(ask):
    (polar,) = ask("--by", "vendor").values()
    assert (polar["name"], polar["calls"], Decimal(polar["profit"])) == ("polar", 5, Decimal("-0.009365"))
    prefixes = ask("--losing")
    assert {name: each["destination"] for name, each in prefixes.items()} == {"50254": "Guatemala mobile"}


def test_people_are_told_what_counts(capsys):
    assert run(["rates", "margin", "--cdrs", CALLS, "--by", "customer", SITE]) == 0
    shown = capsys.readouterr().out
    assert "of 3 calls that have them" in shown and "1 of 5 calls have no rate on one side" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith(("acme", "callshop"))] == [
        "0",
        "-0.0002",
    ]
