"""Calls and figures worked by hand or by spreadsheet formula, with the working shown, in tests/rates/cases.

The column ``exact`` is a spreadsheet's formula for the amount before rounding: opened in a spreadsheet, the
files calculate themselves. Here it is calculated with fractions; it must lead to ``expected``, and so must vosctl.
"""

from __future__ import annotations

import ast
import csv
import math
import operator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from vosctl.cli.rates.parameters import rounding_named
from vosctl.rates.autocreate import Goal
from vosctl.rates.billing import charge, divide, itemize
from vosctl.rates.breakeven import Business, break_even
from vosctl.rates.effective import Increment, Measured, effective
from vosctl.rates.pricing import Caller, Used, prices
from vosctl.rates.quote import share
from vosctl.report.rates.figures import percent, rounded
from vosctl.site.decks import Commitment, Rate
from vosctl.site.read import SiteOptions, read_site
from vosctl.site.tree import Mark

FOLDER = Path(__file__).parent / "cases"
KINDS = {
    "half-up": lambda down, rest: rest >= Fraction(1, 2),
    "half-down": lambda down, rest: rest > Fraction(1, 2),
    "half-even": lambda down, rest: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2 == 1),
    "up": lambda down, rest: rest > 0,
    "ceiling": lambda down, rest: rest > 0,
    "down": lambda down, rest: False,
    "floor": lambda down, rest: False,
}


def rows(name):
    with (FOLDER / name).open(encoding="utf-8", newline="") as stream:
        return [pytest.param(row, id=row["case"]) for row in csv.DictReader(stream)]


def round_by_hand(exact: Fraction, places: int, kind: str) -> Fraction:
    down = math.floor(exact * 10**places)
    return Fraction(down + KINDS[kind](down, exact * 10**places - down), 10**places)


FUNCTIONS = {"MAX": max, "ROUND": lambda amount, places: round_by_hand(amount, int(places), "half-up")}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


class Sheet(ast.NodeVisitor):
    """A spreadsheet's arithmetic, in fractions."""

    def __init__(self, text):
        self.text = text.removeprefix("=")

    def value(self):
        return self.visit(ast.parse(self.text, mode="eval").body)

    def visit_Constant(self, node):
        return Fraction(ast.get_source_segment(self.text, node))

    def visit_BinOp(self, node):
        return OPERATORS[type(node.op)](self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node):
        return -self.visit(node.operand)

    def visit_Call(self, node):
        return FUNCTIONS[node.func.id](*map(self.visit, node.args))


def test_there_are_more_than_two_hundred_cases_and_each_shows_its_working():
    every = [row.values[0] for name in ("calls.csv", "situations.csv", "figures.csv") for row in rows(name)]
    assert len(every) >= 250
    assert len({row["case"] for row in every}) == len(every)
    assert all(row["working"] for row in every)


@pytest.mark.parametrize("case", rows("calls.csv"))
def test_a_call(case):
    def amount(key):
        return Decimal(case[key] or 0)

    rate = Rate(
        "", amount("rate"), int(case["cycle"]), Decimal(case["first_rate"] or case["rate"]), int(case["first_seconds"] or 0),
        amount("connect"), Mark("calls.csv", 1, 1), minimum=amount("minimum"), grace=int(case["grace"] or 0),
        free_seconds=int(case["free_seconds"] or 0),
    )  # fmt: skip
    places, kind = int(case["places"] or 6), case["rounding"] or "half-up"
    exact = Sheet(case["exact"]).value()
    assert round_by_hand(exact, places, kind) == Fraction(case["expected"]), "the case itself is wrong"
    how = {"tax": amount("tax"), "discount": amount("discount")}
    rounding = rounding_named(places, kind)
    found = charge(rate, Decimal(case["seconds"]), rounding, **how)
    assert found == Decimal(case["expected"])
    assert -found.as_tuple().exponent == places
    assert itemize(rate, Decimal(case["seconds"]), rounding, **how).total == found


@pytest.fixture(scope="module")
def rates():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(FOLDER / "site")
        site, problems = read_site(SiteOptions(playbook=None, inventory=(Path(),)))
    assert not problems.errors
    return site.nodes["edge-a"].rates


@pytest.mark.parametrize("case", rows("situations.csv"))
def test_a_call_in_its_situation(case, rates):
    name = case["from"]
    account = rates.accounts.get(name)
    caller = Caller(
        account.group if account else name or None, name if account else None, case["phone"] or None
    )
    used = Used(Decimal(case["used"] or 0), int(case["package_left"] or 0))
    when = datetime.fromisoformat(case["at"].replace("Z", "+00:00"))
    found = prices(rates, caller, case["number"], when, Decimal(case["seconds"]), used=used)
    if not case["expected"]:
        assert found == ()
        return
    tolerance = Fraction(1, 200) if name == "taxed" else Fraction(1, 2_000_000)
    assert abs(Sheet(case["exact"]).value() - Fraction(case["expected"])) <= tolerance, (
        "the case itself is wrong"
    )
    assert (found[0].source, found[0].amount) == (case["source"], Decimal(case["expected"]))


@pytest.mark.parametrize("case", rows("figures.csv"))
def test_a_figure(case):
    words = case["terms"].split(" durations=")
    terms = dict(word.split("=") for word in words[0].split())
    calls = dict(map(Decimal, word.split(":")) for word in words[1].split()) if len(words) > 1 else {}
    found = FIGURES[case["question"]](terms, calls)
    assert found == case["expected"]
    if found != "-":
        places = len(found.partition(".")[2])
        kind = terms.get("rounding", "half-up")
        exact = Sheet(case["exact"]).value()
        assert round_by_hand(exact, places, kind) == Fraction(found), "the case itself is wrong"


def _share(terms, of):
    price, cost = Decimal(terms["price"]), Decimal(terms["cost"])
    return percent(share(price - cost, price if of == "price" else cost)).removesuffix(" %")


def _autocreate(terms, _):
    kind = next(each for each in ("margin", "markup", "amount") if each in terms)
    exact = Goal(kind, Decimal(terms[kind])).price(Fraction(terms["cost"]))
    rounding = rounding_named(int(terms["places"]), terms["rounding"])
    found = divide(Decimal(exact.numerator), Decimal(exact.denominator), rounding)
    return f"{found:f}" if not found else f"{found:f}".rstrip("0")


def _break_even(terms):
    more = {key: Decimal(terms[key]) for key in ("asr", "failed") if key in terms}
    return break_even(
        Business(Decimal(terms["fixed"]), Decimal(terms["profit"]), Decimal(terms["call"]), **more)
    )


def _effective(terms, calls):
    increment = Increment(*map(int, terms["increment"].split("/")))
    (found,) = effective(
        Decimal(terms["rate"]), [increment], Measured({key: int(n) for key, n in calls.items()})
    )
    return f"{rounded(found.rate, 6):f}"


def _commitment(terms, _):
    promised = Commitment(*(Decimal(terms.get(key, 0)) for key in ("amount", "minutes", "rate")))
    return f"{rounded(promised.missing(Decimal(terms['billed']), Decimal(terms['used'])), 2):f}"


FIGURES = {
    "commitment": _commitment,
    "margin": lambda terms, _: _share(terms, "price"),
    "markup": lambda terms, _: _share(terms, "cost"),
    "autocreate": _autocreate,
    "minutes": lambda terms, _: f"{rounded(_break_even(terms).minutes, 0):f}",
    "calls": lambda terms, _: f"{rounded(_break_even(terms).calls, 2):f}",
    "calls-a-second": lambda terms, _: f"{rounded(_break_even(terms).calls_a_second, 2):f}",
    "calls-at-once": lambda terms, _: f"{rounded(_break_even(terms).at_once, 2):f}",
    "effective": _effective,
}
