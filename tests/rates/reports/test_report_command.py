"""vosctl rates report over the example site: CDR files in, the same figures out in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from vosctl.cli.main import cli
from vosctl.cli.screen import Wish
from vosctl.demo.stage import copy_site

CDRS = """Call ID,Start time,Duration,Caller,Callee,Caller gateway,Callee gateway,SIP code,PDD,Fee,Cost
a,2026-11-01 10:00:00,61,+493012345,+44 7700 900123,acme,orbit,200,1.5,0.0244,0.0199
b,2026-11-01 10:05:00,0,+493012345,+442079460123,acme,polar,486,0.5,,
c,2026-11-02 10:00:00,60,+493012345,+491511234567,callshop,orbit,200,2,,
d,2026-11-02 11:00:00,30,+493012345,+4930901820,callshop,quartz,200,2,,
e,yesterday,30,+493012345,+4930901820,callshop,quartz,200,2,,
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_site(tmp_path / "site")
    (folder / "cdrs.csv").write_text(CDRS)
    monkeypatch.chdir(folder)
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["rates", "report", *words], obj=Wish())


def test_the_example_s_calls_are_rated_and_added_up(site: Path):
    result = run("margin", "cdrs.csv", "--format", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    rows = {(row["customer"], row["vendor"]): row for row in told["rows"] if row["answered"]}
    # wholesale's 447 at 0.0240 by the second, orbit's at 0.0195: 61 s
    assert Decimal(rows["acme", "orbit"]["revenue"]) == Decimal("0.0244")
    assert Decimal(rows["acme", "orbit"]["expense"]) == Decimal("0.019825")
    # retail's 4915: 0.0550 and 0.0100 to connect; orbit's 0.0262
    assert Decimal(rows["callshop", "orbit"]["margin"]) == Decimal("0.0388")
    # retail's 49: one minute of 0.0210 is begun; quartz takes 0.0059 ÷ 2
    assert Decimal(rows["callshop", "quartz"]["margin"]) == Decimal("0.01805")
    assert "1 of 5 rows are no calls and left out: cdrs.csv:6" in result.stderr


def test_csv_parquet_and_json_say_the_same(site: Path):
    told = json.loads(run("revenue", "cdrs.csv", "--by", "day", "--format", "json").stdout)
    written = list(
        csv.reader(io.StringIO(run("revenue", "cdrs.csv", "--by", "day", "--format", "csv").stdout))
    )
    assert (
        run("revenue", "cdrs.csv", "--by", "day", "--format", "parquet", "--out", "r.parquet").exit_code == 0
    )
    table = pq.read_table("r.parquet")
    names = [name.replace(" ", "_") for name in written[0]]
    assert table.column_names == written[0]
    assert [[str(row[name]) for name in names] for row in told["rows"]] == written[1:]
    assert [[format(value, "f") if isinstance(value, Decimal) else str(value) for value in row.values()]
            for row in table.to_pylist()] == written[1:]  # fmt: skip
    assert table.schema.metadata[b"currency"] == b"EUR"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]


def test_a_page_is_one_file_that_fetches_nothing(site: Path):
    result = run("margin", "cdrs.csv", "--format", "html", "--out", "r.html")
    assert result.exit_code == 0, result.output
    text = Path("r.html").read_text()
    page = _Links()
    page.feed(text)
    assert page.fetched == []
    assert not re.search(r"url\(|@import|https?://", text)
    assert page.tags.count("svg") == 3
    assert page.tags.count("tr") == 1 + 4 + 1
    assert "+44" not in text


def test_names_from_a_file_are_no_markup(site: Path):
    Path("cdrs.csv").write_text(CDRS.replace("callshop", "<script>alert(1)</script>"))
    text = run("margin", "cdrs.csv", "--format", "html").stdout
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("margin", "none.csv"), "none.csv is no file"),
        (("margin", "cdrs.csv", "--sort", "price"), "no column 'price'"),
        (("margin", "cdrs.csv", "--format", "parquet"), "Parquet is for files"),
        (("margin", "cdrs.csv", "--zone", "Mars"), "no time zone is named 'Mars'"),
        (("margins", "cdrs.csv"), "margins"),
    ],
)
def test_what_cannot_be_reported(site: Path, words: tuple[str, ...], said: str):
    result = run(*words)
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"


def test_on_a_screen(site: Path):
    result = run("trend", "cdrs.csv", "--by", "day")
    assert "Margin over time, amounts in EUR" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:3] for line in lines if line and line[0] in {"2026-11-01", "2026-11-02", "all"}] == [
        ["2026-11-01", "2", "1"],
        ["2026-11-02", "2", "2"],
        ["all", "4", "3"],
    ]
