"""vosctl rates import and export, as an operator types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from vosctl.cli.main import run

SITE = """
rates:
  clearing:
    orbit:
      file: decks/orbit.csv
      currency: EUR
      columns: {prefix: Vorwahl, rate: Preis}
  groups:
    retail:
      calendar: office
      rows:
        "44": {rate: 0.0190, cycle: 1, destination: UK, sections: {night: {rate: 0.01}}}
        "49": {rate: 0.0210, first_rate: 0.03, first_seconds: 30, changes: {"2027-01-01": {rate: 0.03}}}
        "": {rate: 0.5, blocked: true}
    orbit2: {rows: {"44": {rate: 0.02}}}
  calendars:
    office: {sections: {night: [{from: "22:00", until: "06:00"}]}}
firewall: {admin: [198.51.100.0/24]}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "decks").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("all: {hosts: {edge-a: {host: 192.0.2.1}}}\n")
    (tmp_path / "inventory/group_vars/all.yml").write_text(SITE)
    (tmp_path / "decks/orbit.csv").write_text("Vorwahl;Preis\n44;0,01\n+4420;0,02\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795392000")  # 2026-11-23
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    found = run(["rates", *words])
    captured = capsys.readouterr()
    assert found == code, captured.err
    return captured.out


def test_import_suggests_a_mapping_that_reads_the_file(site: Path, capsys: pytest.CaptureFixture[str]):
    file = site / "new vendor.csv"
    file.write_text(
        "Vendor;;;;\nDest. Code;Zone;Price per min;Billing Increment;Effective Date\n"
        "44;UK;0,01;1/1;01/02/2027\n4420;London;0,02;1/1;25/12/2026\n45;DK;0,03;x;\n"
    )
    text = asked(capsys, "import", file.name, "--column", "prefix=Dest. Code", code=1)
    assert "5 rows: 2 accepted, 1 refused, 2 without a rate" in text
    assert "new vendor.csv:5 refused: 'x' is no billing increment" in text
    saved = yaml.safe_load(text[text.index("rates:\n  clearing:") :])["rates"]["clearing"]["new-vendor"]
    assert saved == {
        "file": "new vendor.csv",
        "separator": ";",
        "columns": {
            "prefix": "Dest. Code", "destination": "Zone", "rate": "Price per min",
            "valid_from": "Effective Date", "increment": "Billing Increment",
        },
        "date_format": "%d/%m/%Y",
    }  # fmt: skip


def test_import_makes_a_deck_of_each_currency(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "two.csv").write_text(
        "Code,Rate,Currency\n44,0.01,EUR\n44,0.02,USD\n45,0.03,USD\n46,bad,USD\n47,0.01,\n48,0.01 EUR,USD\n"
    )
    data = json.loads(
        asked(capsys, "import", "two.csv", "--out", "decks/two.csv", "--kind", "group", "--json", code=1)
    )
    assert data["counts"] == {"rows": 7, "accepted": 3, "corrected": 0, "refused": 3, "aside": 1, "blank": 0}
    assert [note["line"] for note in data["notes"] if note["kind"] == "refused"] == [5, 6, 7]
    assert data["written"] == {"two-eur": "decks/two-eur.csv", "two-usd": "decks/two-usd.csv"}
    assert (site / "decks/two-usd.csv").read_text() == "prefix,rate,cycle\n44,0.02,60\n45,0.03,60\n"
    assert yaml.safe_load(data["yaml"]) == {
        "rates": {"groups": {
            "two-eur": {"file": "decks/two-eur.csv", "currency": "EUR"},
            "two-usd": {"file": "decks/two-usd.csv", "currency": "USD"},
        }}
    }  # fmt: skip
    only = json.loads(asked(capsys, "import", "two.csv", "--currency", "USD", "--json", code=1))
    assert {name: [row["prefix"] for row in rows] for name, rows in only["decks"].items()} == {
        "two": ["44", "45"]
    }


def test_import_reads_with_the_saved_mapping(site: Path, capsys: pytest.CaptureFixture[str]):
    text = asked(capsys, "import", "decks/orbit.csv", "--deck", "orbit")
    assert "3 rows: 1 accepted, 1 corrected, 1 without a rate" in text
    assert "decks/orbit.csv:3 corrected: prefix '+4420' read as 4420" in text


def test_import_says_what_it_needs(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "odd.csv").write_text("a,b\n1,2\n")
    assert run(["rates", "import", "odd.csv"]) == 1
    assert "the fullest has a, b" in capsys.readouterr().err
    assert run(["rates", "import", "odd.csv", "--column", "prefix"]) == 64
    assert run(["rates", "import", "odd.csv", "--out", "./odd.csv"]) == 64
    assert run(["rates", "import", "decks/orbit.csv", "--deck", "orbi"]) == 64
    assert "did you mean 'orbit'?" in capsys.readouterr().err
    asked(
        capsys,
        "import",
        "odd.csv",
        "--column",
        "prefix=1",
        "--column",
        "rate=b",
        "--default",
        "increment=6/6",
        "--out",
        "o.csv",
    )
    assert (site / "o.csv").read_text() == "prefix,rate,cycle\n1,2,6\n"


def test_export_writes_every_row_and_what_holds_at_a_moment(site: Path, capsys: pytest.CaptureFixture[str]):
    assert asked(capsys, "export", "retail") == (
        "prefix,destination,rate,cycle,first_rate,first_seconds,section,valid_from,valid_until,blocked\n"
        "*,,0.5,60,,,,,,yes\n"
        "44,UK,0.019,1,,,,,,\n"
        "44,UK,0.01,1,,,night,,,\n"
        "49,,0.021,60,0.03,30,,,2027-01-01T00:00:00Z,\n"
        "49,,0.03,60,0.03,30,,2027-01-01T00:00:00Z,,\n"
    )
    night = asked(capsys, "export", "retail", "--at", "2027-01-05T23:00", "--format", "yaml")
    assert yaml.safe_load(night)["rows"] == {
        "": {"rate": 0.5, "blocked": True},
        "44": {"destination": "UK", "rate": 0.01, "cycle": 1},
        "49": {"rate": 0.03, "first_rate": 0.03, "first_seconds": 30},
    }
    assert run(["rates", "export", "retail", "--format", "yaml"]) == 64
    assert "several rows" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_what_is_exported_can_be_imported(form: str, site: Path, capsys: pytest.CaptureFixture[str]):
    asked(capsys, "export", "retail", "--out", f"out.{form}")
    data = json.loads(asked(capsys, "import", f"out.{form}", "--json"))
    assert (data["counts"]["corrected"], data["suggested"]) == (0, False)
    asked(capsys, "import", f"out.{form}", "--out", "again.csv")
    assert (site / "again.csv").read_text() == asked(capsys, "export", "retail")


def test_export_of_no_such_deck(site: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["rates", "export", "retial"]) == 64
    assert "did you mean 'retail'?" in capsys.readouterr().err
    assert run(["rates", "export", "retail", "--format", "xlsx"]) == 64
    assert "--out retail.xlsx" in capsys.readouterr().err
