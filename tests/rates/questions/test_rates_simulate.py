"""Yesterday's calls under today's branch: the example site with dearer and cheaper rates, worked out by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.cli.main import run

pytest.importorskip("duckdb", reason="calls in bulk need pip install 'vosctl[rates]'")

ROOT = Path(__file__).parents[3]
CALLS = str(ROOT / "tests/rates/cases/yesterday.csv")
PARTS = ("inventory", "playbooks", "templates", "schemas")


@pytest.fixture
def branch(tmp_path, monkeypatch):
    """A repository with the example site, in whose working tree acme pays 0.0200 for London, no longer 0.0125."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "yesterday")):
        subprocess.run(("git", *words), check=True)
    rates = tmp_path / "inventory/group_vars/all/rates.yml"
    old = rates.read_text()
    rates.write_text(old.replace('"4420": {rate: 0.0125,', '"4420": {rate: 0.0200,'))
    assert rates.read_text() != old
    return "-p", "playbooks/site.yml"


def asked(capsys, *words):
    assert run(["rates", "simulate", CALLS, *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {line["name"]: line for line in found["lines"]}, found["total"]


def test_by_the_rates_of_a_revision(branch, capsys):
    lines, total = asked(capsys, "--from", "HEAD", *branch)
    assert list(lines) == ["callshop", "acme"]  # what loses most first; nothing changes for call shops
    assert Decimal(lines["callshop"]["change"]) == 0
    # 75 s and 60 s at 0.0125 and at 0.0200 a minute
    assert Decimal(lines["acme"]["was"]["revenue"]) == Decimal("0.015625") + Decimal("0.0125")
    assert Decimal(lines["acme"]["would"]["revenue"]) == Decimal("0.025") + Decimal("0.02")
    assert Decimal(lines["acme"]["change"]) == Decimal(total["change"]) == Decimal("0.016875")
    assert lines["acme"]["would"]["calls"] == 3 and lines["acme"]["would"]["unpriced"] == 1
    assert Decimal(total["would"]["margin"]) == Decimal("-0.02415") + Decimal("0.014785") + Decimal(
        "0.016875"
    )


def test_by_what_was_billed(branch, capsys):
    lines, _ = asked(capsys, *branch)
    billed = Decimal("0.015625") + Decimal("0.0125") + Decimal("0.1")
    assert Decimal(lines["acme"]["was"]["revenue"]) == billed
    assert lines["callshop"]["was"]["unpriced"] == 1  # the switch says nothing of one of its calls


def test_for_people_and_spreadsheets(branch, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["rates", "simulate", CALLS, "--from", "HEAD", "--by", "destination", *branch]) == 0
    shown = capsys.readouterr().out
    assert "+0.02" in shown and "Guatemala mobile" in shown and "total" in shown
    assert run(["rates", "simulate", CALLS, "--from", "HEAD", "--by", "vendor", "--csv", *branch]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("vendor,was_calls,") and len(lines) == 1 and lines[0].endswith(",0.01687500")


def test_calls_without_amounts_need_a_revision(branch, tmp_path, capsys):
    bare = tmp_path / "bare.csv"
    bare.write_text(
        "started,callee,duration,customer_gateway,vendor_gateway\n2026-11-20T10:00:00Z,442071,60,acme,polar\n"
    )
    assert run(["rates", "simulate", str(bare), *branch]) == 64
    assert "--from REV" in capsys.readouterr().err
