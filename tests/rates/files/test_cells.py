"""Single cells: what each is read as, or why it is refused."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest

from vosctl.rates.files.cells import CellError
from vosctl.rates.files.moments import day_order, read_moment
from vosctl.rates.files.periods import read_increment, read_seconds
from vosctl.rates.files.prefixes import Style, read_codes, read_pair
from vosctl.rates.files.prices import decimal_mark, read_price

PREFIXES = [
    ("44", "44"), ("+44", "44"), ("0044", "44"), (" 44 ", "44"), ("'44", "44"), ('="44"', "44"), ("44.0", "44"),
    ("44 20", "4420"), ("44-20", "4420"), ("(44) 20", "4420"), ("44.20", "4420"), ("44\u00a020", "4420"),
    ("447*", "447"), ("447XXXX", "447"), ("447%", "447"), ("UK 44", "44"), ("44 UK", "44"), ("tel:+44", "44"),
    ("+44-20", "4420"), ("+44 (20)", "4420"), ("44(20)", "4420"), ("44 [20,21]", "4420 4421"),
    ("4470,4471", "4470 4471"), ("4470;4471", "4470 4471"), ("4470 / 4471", "4470 4471"), ("4470 and 4471", "4470 4471"),
    ("44 70,71,73-75", "4470 4471 4473 4474 4475"), ("4470-4472", "4470 4471 4472"), ("4470–4472", "4470 4471 4472"),
    ("4470 to 4471", "4470 4471"), ("4470-72", "4470 4471 4472"), ("4470-2", "4470 4471 4472"), ("4470-447019", "44700 44701"),
    ("447,448,449", "447 448 449"), ("4470,4470", "4470"), ("1-242", "1242"), ("44-207", "44207"),
    ("*", ""), ("default", ""), ("Rest of World", ""),
]  # fmt: skip
REFUSED_PREFIXES = {
    "": "no prefix", "020": "begins with 0", "44 (0)20": "within a country", "4.47E+11": "cut digits off",
    "44-49": "dash: range or dash: group", "4420-7946": "dash: range or dash: group", "447-9": "dash: range or dash: group", "1,242": "comma: list or group",
    "44,207": "comma: list or group", "4470,71": "may be short for", "44o7": "no row of digits", "123456789012345678901": "more than 20",
    "4475-4470": "does not come after", "8816 4470 22": "separate lists by commas", "44 ()": "nothing between", "mobile": "no row of digits",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PREFIXES)
def test_prefixes(text: str, expected: str):
    found = read_codes(text, Style())
    wanted = expected.split(" ")
    assert list(found.prefixes) == wanted
    plain = text.strip() == text and text in {expected, "*"}
    lists = found.ranged or len(found.prefixes) > 1 or "[" in text or "(20)" in text
    assert bool(found.note) or plain or lists


@pytest.mark.parametrize(("text", "why"), REFUSED_PREFIXES.items())
def test_prefixes_refused(text: str, why: str):
    with pytest.raises(CellError, match=why):
        read_codes(text, Style())


def test_what_the_mapping_says_of_dashes_and_commas():
    assert read_codes("44-47", Style(dash="range")).prefixes == ("44", "45", "46", "47")
    assert read_codes("44-49", Style(dash="group")).prefixes == ("4449",)
    assert read_codes("1,242", Style(comma="group")).prefixes == ("1242",)
    assert read_codes("1,242", Style(comma="list")).prefixes == ("1", "242")
    assert read_pair("44", "4470,4471", Style(area="whole")).prefixes == ("4470", "4471")


@pytest.mark.parametrize(
    ("code", "areas", "expected"),
    [
        ("44", "20", "4420"), ("44", "20-22", "4420 4421 4422"), ("44", "", "44"), ("44", "All", "44"), ("44", "0-9", "44"),
        ("+39", "06,02", "3906 3902"), ("1", "242, 246-7", "1242 1246 1247"), ("44", "700-709, 71", "4470 4471"), ("44", "7 0", "4470"),
    ],
)  # fmt: skip
def test_a_country_code_and_area_codes(code: str, areas: str, expected: str):
    assert read_pair(code, areas, Style()).prefixes == tuple(expected.split())


PRICES = [
    ("0.0125", "", "0.0125", False), ("0,0125", "", "0.0125", False), (".5", "", "0.5", False), (",5", "", "0.5", False),
    ("1.234,56", "", "1234.56", False), ("1,234.56", "", "1234.56", False), ("1 234,56", "", "1234.56", False),
    ("1'234.56", "", "1234.56", False), ("1.234", "", "1.234", False), ("1,234", ".", "1234", False), ("1.234", ",", "1234", False),
    ("$0.0125", "", "0.0125", True), ("€ 0,0125", "", "0.0125", True), ("0.0125 USD", "", "0.0125", True), ("EUR 0.0125/min", "", "0.0125", True),
    ("0.0125 per minute", "", "0.0125", True), ("1.25E-2", "", "0.0125", True), ("1,25e-2", "", "0.0125", True),
    ("0.30000000000000004", "", "0.3", True), ("0.0124999999999999997", "", "0.0125", True), ("0.00000001", "", "0.00000001", False),
    ("0", "", "0", False), ("100000", "", "100000", False), ("12", "", "12", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "decimal", "expected", "noted"), PRICES)
def test_prices(text: str, decimal: str, expected: str, noted: bool):
    found = read_price(text, decimal)
    assert found.amount == Decimal(expected)
    assert bool(found.note) is noted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"), ("-0.01", "negative"), ("(0.01)", "negative"), ("1,234", "either of two"), ("0.123456789", "8 decimals"),
        ("0.0125*", "no price"), ("12 %", "no price"), ("free?", "no price"), ("1.2.3", "no number"), ("1,23,456", "no number"),
        ("100000.01", "more than"), ("on request", "no price"), ("1.5E+9", "more than"), ("USD 0.01 EUR", "two currencies"),
    ],
)  # fmt: skip
def test_prices_refused(text: str, why: str):
    with pytest.raises(CellError, match=why):
        read_price(text, "." if why == "no number" else "")


@pytest.mark.parametrize("text", ["N/A", "blocked", "CLOSED", "Not available", "no service"])
def test_a_price_that_says_blocked(text: str):
    found = read_price(text, "")
    assert (found.blocked, found.amount) == (True, 0)


def test_the_currency_that_stands_with_a_price():
    assert [read_price(text, "").currency for text in ("€1", "1 USD/min", "$1", "GBP 1")] == [
        "EUR",
        "USD",
        "",
        "GBP",
    ]


def test_the_decimal_mark_that_cells_agree_on():
    assert decimal_mark(["1,234", "0,5"]) == ","
    assert decimal_mark(["1,234", "0.5"]) == "."
    assert decimal_mark(["1,234", "5"]) == ""
    assert decimal_mark(["0,5", "0.5"]) == ""


DAYS = ["2026-12-01", "2026/12/1", "01.12.2026", "1.12.26", "20261201", "1 Dec 2026", "01-Dec-26", "Dec 1, 2026", "1st December 2026", "46357", "2026-12-01T00:00:00Z", "2026-12-01 01:00+0100"]  # fmt: skip


@pytest.mark.parametrize("text", DAYS)
def test_days(text: str):
    assert read_moment(text, "", "UTC").when == datetime(2026, 12, 1, tzinfo=timezone.utc)


def test_a_day_begins_in_the_zone_of_the_deck():
    assert read_moment("2026-12-01", "", "Asia/Kolkata").when == datetime(
        2026, 11, 30, 18, 30, tzinfo=timezone.utc
    )
    assert read_moment("2026-12-01 09:30", "", "America/New_York").when == datetime(
        2026, 12, 1, 14, 30, tzinfo=timezone.utc
    )


@pytest.mark.parametrize("text", ["01/02/2026", "01-02-2026", "1/2/26"])
def test_a_day_that_may_be_two_is_refused_unless_the_mapping_says_which(text: str):
    with pytest.raises(CellError, match="day or month first"):
        read_moment(text, "", "UTC")
    mark, year = text[-5 if len(text) > 6 else -3], "%Y" if len(text) > 6 else "%y"
    found = read_moment(text, f"%d{mark}%m{mark}{year}", "UTC")
    assert found.when == datetime(2026, 2, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["25/13/2026", "2026-02-30", "soon", "32.12.2026", "Dez 1 2026"])
def test_what_is_no_day(text: str):
    with pytest.raises(CellError, match="no date"):
        read_moment(text, "", "UTC")


def test_the_last_day_is_a_whole_one():
    last = read_moment("31.03.2027", "", "Europe/Berlin").next_day("Europe/Berlin")
    assert last.when == datetime(2027, 3, 31, 22, tzinfo=timezone.utc), "midnight in summer time"
    exact = read_moment("2027-03-31 12:00", "", "UTC").next_day("UTC")
    assert exact.when == datetime(2027, 3, 31, 12, tzinfo=timezone.utc)


def test_the_order_of_days_that_a_column_shows():
    assert day_order(["01/02/2026", "25/12/2026"]) == "%d/%m/%Y"
    assert day_order(["01/02/26", "12/25/26"]) == "%m/%d/%y"
    assert day_order(["01/02/2026"]) == ""
    assert day_order(["13/02/2026", "02/13/2026"]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("60/60", (60, 60)), ("30/6", (30, 6)), ("1+1", (1, 1)), ("30-6", (30, 6)), ("60", (60, 60)), ("0/1", (0, 1)),
     ("1 min / 1 sec", (60, 1)), ("60s/6s", (60, 6)), ("per second", (1, 1)), ("1 min", (60, 60))],
)  # fmt: skip
def test_increments(text: str, expected: tuple[int, int]):
    assert read_increment(text) == expected


@pytest.mark.parametrize("text", ["60/0", "0", "fast", "60/60/60", "99999/1", "-1"])
def test_what_is_no_increment(text: str):
    with pytest.raises(CellError, match="increment"):
        read_increment(text)


def test_seconds():
    assert (read_seconds("30"), read_seconds("30 sec"), read_seconds("1 min")) == (30, 30, 60)
    with pytest.raises(CellError, match="no number of seconds"):
        read_seconds("x")
