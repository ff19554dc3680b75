"""XLSX and Parquet files, what cannot be read at all, and clean files that read back as they were written."""

from __future__ import annotations

import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
import yaml
from msgspec.structs import replace
from pyarrow import parquet

from vosctl.errors import UsageError, VosctlError
from vosctl.rates.files import DeckFileError, read
from vosctl.rates.files.write import csv_text, write_file, yaml_text
from vosctl.rates.tables import deck_table
from vosctl.site.decks import Deck, Rate
from vosctl.site.tree import Mark

MARK = Mark("rates.yml", 3, 5)


def workbook(path: Path, rows: list[list[object]], *, title: str = "Rates") -> Path:
    book = openpyxl.Workbook()
    book.active.title = "Cover"
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_with_floats_dates_and_numbers_for_prefixes(tmp_path: Path):
    path = workbook(
        tmp_path / "vendor.xlsx",
        [
            ["Vendor rates"], [],
            ["Code", "Rate", "From", "Blocked"],
            [44, 0.7 + 0.1, datetime(2026, 12, 1), False],  # noqa: DTZ001  as spreadsheets have it
            ["4420", 0.0125, date(2026, 12, 1), None],
            [4470.0, 1 / 3, None, None],
            [4471, "0.5", 46357, True],
            [39, 1e-8, None, None],
            [None, None, None, None],
            ["Total", 1.5, None, None],
        ],
    )  # fmt: skip
    reading = read(
        path,
        {"columns": {"prefix": "code", "rate": "rate", "valid_from": "from", "blocked": "blocked"}},
        MARK,
    )
    december = datetime(2026, 12, 1, tzinfo=timezone.utc)
    assert [
        (rate.prefix, rate.rate, rate.valid_from, rate.blocked, rate.mark.line) for rate in reading.rows
    ] == [
        ("44", Decimal("0.8"), december, False, 4),
        ("4420", Decimal("0.0125"), december, False, 5),
        ("4471", Decimal("0.5"), december, True, 7),
        ("39", Decimal("0.00000001"), None, False, 8),
    ]
    assert [(note.line, note.kind) for note in reading.notes] == [
        (1, "aside"), (3, "aside"), (4, "corrected"), (6, "refused"), (7, "corrected"), (10, "aside"),
    ]  # fmt: skip
    assert "0.7999999999999999" in reading.notes[2].text
    assert "8 decimals" in reading.notes[3].text
    assert reading.counts.total == 10
    assert reading.found["sheet"] == "Rates"


def test_a_sheet_is_chosen_by_name(tmp_path: Path):
    path = workbook(tmp_path / "v.xlsx", [["prefix", "rate"], ["44", 1]], title="A-Z")
    assert len(read(path, {"sheet": "A-Z"}, MARK).rows) == 1
    with pytest.raises(DeckFileError, match="no sheet 'A-z'") as error:
        read(path, {"sheet": "A-z"}, MARK)
    assert error.value.hint == "its sheets: Cover, A-Z"


def test_parquet_with_typed_columns(tmp_path: Path):
    path = tmp_path / "v.parquet"
    columns = {
        "dial": pa.array([44, 4420, None], pa.int64()),
        "price": pa.array([Decimal("0.01250"), Decimal("0.02000"), Decimal("0.1")], pa.decimal128(10, 5)),
        "since": pa.array([date(2026, 12, 1), None, None], pa.date32()),
    }
    parquet.write_table(pa.table(columns), path)
    reading = read(path, {"columns": {"prefix": "dial", "rate": "price", "from": "since"}}, MARK)
    assert [(rate.prefix, f"{rate.rate:f}", rate.mark.line) for rate in reading.rows] == [
        ("44", "0.01250", 1),
        ("4420", "0.02000", 2),
    ]
    assert [(note.line, note.kind, note.text) for note in reading.notes] == [(3, "refused", "no prefix")]
    assert reading.counts.total == 3


WRONG = {
    "missing.csv": (None, {}, "No such file"),
    "head.csv": (b"code,price\n44,1\n", {}, "no column 'prefix'"),
    "typo.csv": (b"code,price\n44,1\n", {"columns": {"prefix": "code", "rate": "prise"}}, r"no column 'prise' \(did you mean 'price'\?\)"),
    "half.csv": (b"code,price\n44,1\n", {"columns": {"prefix": "code"}}, "does not say which column is rate"),
    "field.csv": (b"code,price\n44,1\n", {"columns": {"prefx": "code", "rate": "price"}}, "no 'prefx'.*'prefix'"),
    "several.csv": (b"code,price\n44,1\n", {"columns": {"prefix": "code", "rate": ["code", "price"]}}, "rate has 2 headings"),
    "choice.csv": (b"prefix,rate\n44,1\n", {"dash": "maybe"}, "dash: maybe is unknown"),
    "bytes.csv": (bytes(range(256)) * 9, {}, "is no text"),
    "ascii.csv": ("prefix,rate,destination\n41,1,Zürich\n".encode(), {"encoding": "ascii"}, "is not in ascii"),
    "empty.csv": (b"", {}, "has no rows"),
    "broken.xlsx": (b"PK no", {}, "is no XLSX file"),
    "broken.parquet": (b"PAR1 no", {}, "is no Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path):
    content, mapping, why = WRONG[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DeckFileError, match=why) as error:
        read(tmp_path / name, mapping, MARK)
    assert error.value.hint or "is no" in why
    assert error.value.mark == MARK


def rates() -> tuple[Rate, ...]:
    rows = Mark("made", 1, 1)
    half = Decimal("0.5")
    return (
        Rate("", half, 60, half, 0, Decimal(0), rows),
        Rate("44", Decimal("0.01250000"), 6, Decimal("0.02"), 30, Decimal("0.001"), rows, destination='UK, "all"'),
        Rate("4420", half, 1, half, 0, Decimal(0), rows, minimum=half, grace=3, free_seconds=5, section="",
             valid_from=datetime(2026, 12, 1, 8, 30, tzinfo=timezone.utc), valid_until=datetime(2027, 1, 1, tzinfo=timezone.utc)),
        Rate("49", Decimal(0), 60, Decimal(0), 0, Decimal(0), rows, blocked=True),
    )  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_clean_files_read_back_without_a_mapping(form: str, tmp_path: Path):
    path = tmp_path / "decks" / f"deck.{form}"
    write_file(form, rates(), path)
    reading = read(path, {}, MARK)
    assert not [note for note in reading.notes if note.kind != "aside"]
    unmarked = [
        (*[getattr(rate, name) for name in rate.__slots__ if name != "mark"],) for rate in reading.rows
    ]
    assert unmarked == [
        (*[getattr(rate, name) for name in rate.__slots__ if name != "mark"],) for rate in rates()
    ]


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet", "yaml"])
def test_a_file_that_cannot_be_written(form: str, tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(VosctlError, match=str(tmp_path)):
        write_file(form, rates(), tmp_path / "taken" / f"deck.{form}")


def test_clean_csv_is_the_same_when_written_again(tmp_path: Path):
    path = tmp_path / "deck.csv"
    path.write_text(csv_text(rates()))
    assert csv_text(read(path, {}, MARK).rows) == path.read_text()


def test_yaml_has_one_row_a_prefix():
    rows = yaml.safe_load(yaml_text(rates()))["rows"]
    assert rows["44"] == {
        "rate": 0.0125, "cycle": 6, "first_seconds": 30, "first_rate": 0.02, "destination": 'UK, "all"', "connect": 0.001,
    }  # fmt: skip
    assert rows["4420"]["from"] == datetime(2026, 12, 1, 8, 30, tzinfo=timezone.utc)
    assert rows["49"] == {"rate": 0, "blocked": True}
    with pytest.raises(UsageError, match="several rows"):
        yaml_text((*rates(), rates()[1]))


def test_the_table_has_every_row_in_whole_units():
    table = deck_table([Deck("v", {}, MARK, entries=rates()), Deck("w", {"44": rates()[1]}, MARK)])
    assert table.column("deck").to_pylist() == ["v"] * 4 + ["w"]
    assert table.column("rate").to_pylist() == [50_000_000, 1_250_000, 50_000_000, 0, 1_250_000]
    assert table.column("first_rate")[1].as_py() == 2_000_000
    assert table.column("valid_from").to_pylist()[2] == datetime(2026, 12, 1, 8, 30)  # noqa: DTZ001  UTC
    assert table.schema.field("rate").type == pa.int64()


def test_the_table_takes_no_amount_that_it_cannot_hold():
    fine = replace(rates()[0], connect=Decimal("1E-9"), mark=Mark("decks/x.csv", 7, 1))
    with pytest.raises(VosctlError, match=r"decks/x\.csv:7:1: 0\.000000001 has more than 8 decimals"):
        deck_table([Deck("v", {}, MARK, entries=(*rates(), fine))])


@pytest.mark.parametrize(("name", "package"), [("v.xlsx", "openpyxl"), ("v.parquet", "pyarrow")])
def test_without_the_extra_its_name_is_said(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_file(name.partition(".")[2], rates(), tmp_path / name)
    write_file("csv", rates(), tmp_path / "v.csv")
    monkeypatch.setitem(sys.modules, package, None)
    for form in (
        lambda: read(tmp_path / name, {}, MARK),
        lambda: write_file(name.partition(".")[2], rates(), tmp_path / name),
    ):
        with pytest.raises(VosctlError, match=rf"needs {package}") as error:
            form()
        assert error.value.hint == "pip install 'vosctl[rates]'"
    assert len(read(tmp_path / "v.csv", {}, MARK).rows) == 4


def test_headings_above_columns_that_are_numbered(tmp_path: Path):
    (tmp_path / "v.csv").write_text("a,b\n44,0.01\n,closed\nx,-\n")
    reading = read(tmp_path / "v.csv", {"columns": {"prefix": 1, "rate": 2}}, MARK)
    assert [(note.line, note.kind) for note in reading.notes] == [(1, "aside"), (3, "refused"), (4, "aside")]
    assert len(reading.rows) == 1
