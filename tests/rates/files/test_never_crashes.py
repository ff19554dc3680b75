"""Whatever stands in a cell: it is read or refused with a reason, and the rows of the file add up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vosctl.rates.files import read
from vosctl.site.tree import Mark

PIECES = st.sampled_from(["44", "0", "9" * 21, "-", ",", ".", "(", ")", "+", "/", " ", "e", "E+5", "€", "USD", "x", "1e9", "'", '"', "%", "²", "٣", "–", "00", "2026", ":", "closed", "total"])  # fmt: skip
CELLS = st.one_of(
    st.text(max_size=12).filter(lambda text: "\0" not in text), st.lists(PIECES, max_size=6).map("".join)
)
HEAD = ["Code", "Area", "Rate", "First", "Inc", "From", "Last", "Status", "Currency", "Grace"]
COLUMNS = {
    "rate": "Rate",
    "first_rate": "First",
    "increment": "Inc",
    "from": "From",
    "last_day": "Last",
    "blocked": "Status",
    "grace": "Grace",
}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELLS, min_size=10, max_size=11), max_size=4), st.booleans(), st.booleans())
def test_every_row_is_accounted_for(tmp_path: Path, rows: list[list[str]], two: bool, currency: bool):
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEAD)
        writer.writerows(rows)
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    columns = {
        "prefix": ["Code", "Area"] if two else "Code",
        **COLUMNS,
        **({"currency": "Currency"} if currency else {}),
    }
    reading = read(path, {"columns": columns, "separator": ",", "encoding": "utf-8"}, Mark("x", 1, 1))
    assert reading.counts.total == len(rows) + 1
    assert reading.counts.accepted >= 0
    assert len({note.line for note in reading.notes}) == len(reading.notes)
    for rate in reading.rows:
        assert rate.prefix == "" or (
            rate.prefix.isascii() and rate.prefix.isdigit() and rate.prefix[0] != "0"
        )
        assert rate.rate >= 0
        assert rate.cycle >= 1


def test_a_quote_left_open_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "open.csv"
    path.write_text("prefix,rate,destination\n44,0.01,UK\n45,0.02," + '"' + "x" * (1 << 20) + "x" * 10)
    with pytest.raises(Exception, match=r"open.csv:3: field larger than"):
        read(path, {}, Mark("x", 1, 1))
