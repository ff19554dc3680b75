"""Mappings suggested from headings as vendors write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vosctl.rates.files import DeckFileError, read
from vosctl.rates.files.suggest import suggest
from vosctl.rates.files.table import table_of
from vosctl.site.tree import Mark

SHEETS = {
    "Destination,Code,EUR/min,Billing": {"destination": "Destination", "prefix": "Code", "rate": "EUR/min", "increment": "Billing"},
    "Country,Destination Name,Dial Code,New Rate,Old Rate,Effective Date,Billing Increments": {
        "destination": "Destination Name", "prefix": "Dial Code", "rate": "New Rate", "valid_from": "Effective Date", "increment": "Billing Increments",
    },
    "Country Code,Area Codes,Zone,Price (USD/min),Connection Fee,Valid From,Valid To": {
        "prefix": ["Country Code", "Area Codes"], "destination": "Zone", "rate": "Price (USD/min)", "connect": "Connection Fee",
        "valid_from": "Valid From", "last_day": "Valid To",
    },
    "Prefix;Description;Rate per Minute;Initial Increment;Next Increment;Currency": {
        "prefix": "Prefix", "destination": "Description", "rate": "Rate per Minute", "first_seconds": "Initial Increment",
        "cycle": "Next Increment", "currency": "Currency",
    },
    "prefix,rate,cycle,from,until": {"prefix": "prefix", "rate": "rate", "cycle": "cycle", "valid_from": "from", "valid_until": "until"},
    "Code,Name,Rate,Rate": {"prefix": "Code", "destination": "Name", "rate": 3},
    "Numbering Code|Destination|Rate/sec|Grace Period": {"prefix": "Numbering Code", "destination": "Destination", "rate": "Rate/sec", "grace": "Grace Period"},
}  # fmt: skip


@pytest.mark.parametrize(("headings", "columns"), SHEETS.items())
def test_the_columns_of_a_sheet(headings: str, columns: dict[str, object], tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text(f"Some Carrier\n{headings}\n")
    found = suggest(path, {}, table_of(path, {}))
    assert found["columns"] == columns
    assert found.get("currency") == {"EUR/min": "EUR", "Price (USD/min)": "USD"}.get(str(columns["rate"]))
    assert (found.get("per") == "second") is ("Rate/sec" in headings)
    read(path, found, Mark("x", 1, 1))


def test_a_status_column_is_taken_where_it_blocks_rows(tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text("Code,Rate,Status\n44,1,open\n45,1,closed\n46,1,strange\n")
    assert suggest(path, {}, table_of(path, {}))["columns"] == {
        "prefix": "Code",
        "rate": "Rate",
        "blocked": "Status",
    }
    path.write_text("Code,Rate,Status\n44,1,increase\n45,1,no change\n")
    assert suggest(path, {}, table_of(path, {}))["columns"] == {"prefix": "Code", "rate": "Rate"}


def test_the_order_of_dates_is_taken_from_those_that_show_it(tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text("Code,Rate,Effective\n44,1,01/02/2027\n45,1,01/31/2027\n")
    assert suggest(path, {}, table_of(path, {}))["date_format"] == "%m/%d/%Y"


def test_what_is_said_stands(tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text("Code,Rate,Price\n44,1,2\n")
    known = {"columns": {"rate": "Price"}, "decimal": ","}
    assert suggest(path, known, table_of(path, known)) == {
        "columns": {"prefix": "Code", "rate": "Price"},
        "decimal": ",",
    }


def test_nothing_to_suggest(tmp_path: Path):
    path = tmp_path / "sheet.csv"
    path.write_text("a,b\n44,1\n")
    with pytest.raises(DeckFileError, match=r"no row of .* looks like headings"):
        suggest(path, {}, table_of(path, {}))
