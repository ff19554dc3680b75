"""Messy files as vendors send them, each with its mapping; what becomes of every row stands in NAME.txt.

Write NAME.txt anew, for reading and committing, with: VOSCTL_REWRITE=1 pytest tests/rates/files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vosctl.rates.files import Reading, read
from vosctl.site.tree import Mark

HERE = Path(__file__).parent / "messy"
REWRITE = os.environ.get("VOSCTL_REWRITE") == "1"
MARK = Mark("rates.yml", 3, 5)
CASES = sorted(path.stem for path in HERE.glob("*.json"))


def as_text(reading: Reading) -> str:
    lines = [f"{reading.counts}", f"found {dict(reading.found)} currencies {dict(reading.currencies)}"]
    lines += [f"{note.line} {note.kind}: {note.text}" for note in reading.notes]
    for rate in reading.rows:
        shown = f"{rate.mark.line}: {rate.prefix or '*'} {rate.rate:f} {rate.first_seconds}/{rate.cycle}"
        more = {
            "first": rate.first_rate if rate.first_rate != rate.rate else None,
            "connect": rate.connect, "from": rate.valid_from, "until": rate.valid_until,
            "blocked": rate.blocked, "to": rate.destination,
        }  # fmt: skip
        lines.append(" ".join([shown, *(f"{key}={value}" for key, value in more.items() if value)]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_every_row_is_accounted_for(name: str, monkeypatch):
    monkeypatch.chdir(HERE)
    reading = read(Path(f"{name}.csv"), json.loads(Path(f"{name}.json").read_text()), MARK)
    found, expected = as_text(reading), Path(f"{name}.txt")
    if REWRITE:
        expected.write_text(found)
    assert found == expected.read_text()
    assert reading.counts.total == rows_of(Path(f"{name}.csv"))
    assert {rate.mark.file for rate in reading.rows} == {f"{name}.csv"}
    told = [note.line for note in reading.notes]
    assert told == sorted(set(told)), "a row has one note"


def rows_of(path: Path) -> int:
    data = path.read_bytes()
    text = data.decode("utf-16" if data.startswith(b"\xff\xfe") else "latin-1")
    return len(text.splitlines())  # no cell of these files has a line break
