from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from vosctl.cli.main import run
from vosctl.rates.autocreate import Goal, Wish, create
from vosctl.rates.files import read
from vosctl.report.rates.autocreate import as_csv
from vosctl.site.decks import Deck, Rate, Rates, Rounding
from vosctl.site.tree import Mark

SITE = str(Path(__file__).parents[3] / "playbooks/site.yml")
MARK = Mark("decks.yml", 1, 1)
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def row(prefix, rate, cycle=60, first="0", first_seconds=0, connect="0", **more):
    return Rate(prefix, Decimal(rate), cycle, Decimal(first), first_seconds, Decimal(connect), MARK, **more)


def deck(name, *rows, currency=""):
    return Deck(name, {each.prefix: each for each in rows}, MARK, currency=currency)


def made(decks, goal, **how):
    rates = Rates("EUR", {}, {}, exchange={"USD": Decimal("0.92")})
    wish = Wish(goal, how.pop("rounding", Rounding(5, ROUND_UP)), **how)
    return {each.rate.prefix: each for each in create(rates, decks, wish, NOW)}


def test_the_guide_s_example():
    """0.008 ÷ (1 − 0.25) = 0.010666… → 0.01067 a minute."""
    exact = Goal("margin", Decimal(25)).price(Fraction("0.008"))
    assert exact == Fraction(8, 750)
    for kind in (ROUND_UP, ROUND_HALF_UP):
        rows = made([deck("usa", row("1", "0.008"))], Goal("margin", Decimal(25)), rounding=Rounding(5, kind))
        assert rows["1"].rate.rate == Decimal("0.01067")


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [("margin", "0", "0.008"), ("margin", "-25", "0.0064"), ("markup", "25", "0.01"), ("amount", "0.002", "0.01"),
     ("amount", "-0.001", "0.007"), ("margin", "20", "0.01")],
)  # fmt: skip
def test_every_kind_of_profit(kind, size, expected):
    assert made([deck("a", row("1", "0.008"))], Goal(kind, Decimal(size)))["1"].rate.rate == Decimal(expected)


def test_every_part_of_a_rate_is_priced():
    cost = row(
        "44", "0.01", 6, first="0.02", first_seconds=30, connect="0.004", minimum=Decimal("0.008"), grace=3
    )
    half = made([deck("a", cost)], Goal("margin", Decimal(50)))["44"].rate
    assert (half.rate, half.first_rate, half.connect, half.minimum) == tuple(
        map(Decimal, ("0.02", "0.04", "0.008", "0.016"))
    )
    assert (half.cycle, half.first_seconds, half.grace) == (6, 30, 3)
    more = made([deck("a", cost)], Goal("amount", Decimal("0.001")))["44"].rate
    assert (more.rate, more.first_rate, more.connect) == tuple(map(Decimal, ("0.011", "0.021", "0.004")))


def test_of_several_vendors_the_longest_row_of_each_counts():
    decks = [
        deck("a", row("44", "0.010"), row("447", "0.020")),
        deck("b", row("44", "0.012"), row("49", "0.005")),
    ]
    dearest = made(decks, Goal("amount", Decimal(0)))
    assert {prefix: each.deck.name for prefix, each in dearest.items()} == {"44": "b", "447": "a", "49": "b"}
    cheapest = made(decks, Goal("amount", Decimal(0)), dearest=False)
    assert {prefix: str(each.rate.rate) for prefix, each in cheapest.items()} == {
        "44": "0.01000",
        "447": "0.01200",
        "49": "0.00500",
    }


def test_other_currencies_are_changed_before_they_are_compared():
    decks = [deck("a", row("44", "0.0100"), currency="USD"), deck("b", row("44", "0.0095"))]
    found = made(decks, Goal("amount", Decimal(0)))["44"]
    assert (found.deck.name, found.rate.rate) == ("b", Decimal("0.00950"))


def test_blocked_rows_are_not_sold():
    decks = [deck("a", row("44", "0.01"), row("4488", "0", blocked=True))]
    assert list(made(decks, Goal("amount", Decimal(0)))) == ["44"]


def test_a_margin_of_everything_has_no_price():
    with pytest.raises(ValueError, match="no price has a margin of 100 %"):
        Goal("margin", Decimal(100))


def test_the_guide_s_example_on_the_command_line(capsys):
    assert run(["rates", "autocreate", "--cost", "0.008", "--margin", "25"]) == 0
    shown = capsys.readouterr().out
    assert "0.008 ÷ (1 − 0.25)" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("rounded")] == ["0.01067"]


@pytest.mark.parametrize("kind", ["yaml", "csv"])
def test_what_is_written_earns_what_was_wanted(kind, capsys):
    assert run(["rates", "autocreate", SITE, "--vendor", "orbit", "--margin", "25", "--format", kind]) == 0
    text = capsys.readouterr().out
    if kind == "yaml":
        rows = yaml.safe_load(text)["rates"]["groups"]["new"]["rows"]
    else:
        rows = {line["prefix"]: line for line in csv.DictReader(io.StringIO(text))}
    assert run(["rates", "autocreate", SITE, "--vendor", "orbit", "--margin", "25", "--json"]) == 0
    costs = {each["prefix"]: Decimal(each["cost"]) for each in json.loads(capsys.readouterr().out)}
    assert rows.keys() == costs.keys() and len(rows) >= 5
    for prefix, each in rows.items():
        price = Decimal(str(each["rate"]))
        assert price * Decimal("0.75") >= costs[prefix] > (price - Decimal("0.00001")) * Decimal("0.75")


def test_what_is_written_as_csv_is_read_as_it_was_made(tmp_path):
    cost = row("44", "0.01", 6, first="0.02", first_seconds=30, connect="0.004", minimum=Decimal("0.008"), grace=3,
               destination="Great Britain, all")  # fmt: skip
    found = made([deck("a", cost, row("447", "0.03", 1))], Goal("margin", Decimal(25)))
    path = tmp_path / "gold.csv"
    path.write_text(as_csv(list(found.values())), encoding="utf-8")
    reading = read(path, {}, MARK)
    assert [note for note in reading.notes if note.kind in {"corrected", "refused"}] == []
    for again in reading.rows:
        own = found[again.prefix].rate
        for field in (
            "rate",
            "cycle",
            "first_seconds",
            "connect",
            "minimum",
            "grace",
            "free_seconds",
            "destination",
        ):
            assert getattr(again, field) == getattr(own, field), field
        assert not own.first_seconds or again.first_rate == own.first_rate
    assert len(reading.rows) == 2


def test_finer_steps_than_the_vendor_s_are_said(capsys):
    assert (
        run(["rates", "autocreate", SITE, "--vendor", "polar", "--margin", "25", "--increment", "1/1"]) == 0
    )
    said = capsys.readouterr().err
    assert re.search(r"^[0-9]+ are charged in finer steps", said, re.MULTILINE)
    assert "vosctl rates effective" in said


def test_a_deck_is_never_written_over(tmp_path, capsys):
    out = tmp_path / "gold.yml"
    words = ["rates", "autocreate", SITE, "--markup", "10", "--name", "gold", "-o", str(out)]
    assert run(words) == 0
    assert "gold" in yaml.safe_load(out.read_text(encoding="utf-8"))["rates"]["groups"]
    assert run(words) == 1
    assert "name another file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--margin", "100"], "no price has a margin of 100 %"),
        ([], "--margin 25, --markup 33 and --amount 0.002"),
        (["--margin", "5", "--markup", "5"], "what profit is wanted?"),
        (["--margin", "5", "--vendor", "orbti"], "did you mean 'orbit'?"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words, said, capsys):
    assert run(["rates", "autocreate", SITE, *words]) == 64
    assert said in capsys.readouterr().err
