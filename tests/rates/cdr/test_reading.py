"""CDRs of other people's switches: what is read, and what is refused by file and line."""

from __future__ import annotations

import datetime as dt

import pytest

from vosctl.errors import UsageError

pytest.importorskip("duckdb", reason="calls in bulk need pip install 'vosctl[rates]'")

from vosctl.rates.cdr.mapping import CdrFormat, read_mapping
from vosctl.rates.cdr.reading import connect, files_of, read_calls

MESSY = """Call ID;Start Time;Duration;Calling Number;Called Number;Mapping Gateway;Fee;SIP Code
a;2026-10-25 02:30:00;75;+49 30 1234;00442071234567;g1;0,0125;200
b;yesterday;75;x;442071234567;g1;0,1;200
c;2026-10-25 12:00:00;1:15;anonymous;sip:+442071234567@1.2.3.4;g1;;200
d;2026-10-25 12:00:00;;1;44;g1;;404
e;2026-10-25 12:00:00;12.5;1;44;g1;0,123456789;200
f;2026-10-25 12:00:00;-3;1;44;g1;0;200
g;2026-10-25 12:00:00;9999999;1;44;g1;0;200
h;2026-10-25 12:00:00;3;1;44x;g1;0;200
i;2026-10-25 12:00:00;3;1;44;g1;abc;200
j;2026-10-25 12:00:00+05:00;1:02:03.5;1;44;g1;1.234,5;200
"""


@pytest.fixture
def read(tmp_path):
    opened = []

    def loaded(*patterns, mapping=None):
        connection = connect(tmp_path, memory="200MB", threads=2)
        opened.append(connection)
        found = read_calls(connection, files_of([str(each) for each in patterns]), mapping)
        return found, connection.execute("from calls order by call_id").fetch_arrow_table().to_pylist()

    yield loaded
    for connection in opened:
        connection.close()


def test_a_messy_file(tmp_path, read):
    path = tmp_path / "cdr.csv"
    path.write_text(MESSY)
    how = CdrFormat(zone="Europe/Berlin", decimal=",", separator=";", strip=("00",))
    loaded, calls = read(path, mapping=how)
    assert (loaded.calls, loaded.refused) == (4, 6)
    assert [str(each) for each in loaded.examples] == [
        f"{path}:3: Start Time 'yesterday' is no time",
        f"{path}:6: Fee '0,123456789' has more than 8 decimals",
        f"{path}:7: Duration '-3' is less than nothing",
        f"{path}:8: Duration '9999999' is more than thirty days",
        f"{path}:9: Called Number '44x' is no number",
        f"{path}:10: Fee 'abc' is no amount",
    ]
    assert [(call["call_id"], call["duration_ms"], call["callee"], call["caller"]) for call in calls] == [
        ("a", 75_000, "442071234567", "49301234"),
        ("c", 75_000, "442071234567", None),
        ("d", 0, "44", "1"),
        ("j", 3_723_500, "44", "1"),
    ]
    assert [call["started"].hour for call in calls] == [
        1,
        11,
        11,
        7,
    ]  # UTC; 2:30 was twice that night, the later counts
    assert [call["billed"] for call in calls] == [1_250_000, None, None, 123_450_000_000]
    assert {call["customer_gateway"] for call in calls} == {"g1"}


def test_lines_that_are_no_rows_are_counted_and_shift_nothing(tmp_path, read):
    path = tmp_path / "cdr.csv"
    good = '"2026-10-25 12:00:00",60,44\n'
    path.write_text(
        "started,duration,callee\n" + good + '"2026-10-25 1"2:00:00",60,44\n' + good + "never,60,44\n" + good
    )
    loaded, _ = read(path)
    assert (loaded.calls, loaded.refused) == (3, 2)
    assert [each.line for each in loaded.examples] == [3, 5]


def test_globs_and_our_own_parquet(tmp_path, read):
    for at in range(3):
        (tmp_path / f"cdr{at}.csv").write_text(
            f"call_id,started,duration_ms,callee\n{at},2026-10-25T12:00:00Z,1500,44\n"
        )
    _, calls = read(tmp_path / "cdr*.csv")
    assert [call["call_id"] for call in calls] == ["0", "1", "2"]


def test_parquet_keeps_its_types(tmp_path, read):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    moment = dt.datetime(2026, 10, 25, 12, tzinfo=dt.timezone.utc)
    table = pa.table({"started": pa.array([moment, None]), "duration": [61, 62], "callee": [4420, 4421]})
    pq.write_table(table, tmp_path / "cdr.parquet")
    loaded, (call,) = read(tmp_path / "cdr.parquet")
    assert (call["duration_ms"], call["callee"], call["started"]) == (
        61_000,
        "4420",
        moment.replace(tzinfo=None),
    )
    assert str(loaded.examples[0]) == f"{tmp_path}/cdr.parquet:2: started '' is no time"


def test_what_is_missing_is_named(tmp_path, read):
    path = tmp_path / "cdr.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(
        UsageError, match="no column is started or callee or duration of the call; it has a, b"
    ):
        read(path)
    with pytest.raises(UsageError, match="no column 'Beginn'"):
        read(path, mapping=CdrFormat({"started": "Beginn"}))
    with pytest.raises(UsageError, match="is no file"):
        read(tmp_path / "none*.csv")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read(tmp_path / "no.parquet")


def test_mappings(tmp_path):
    path = tmp_path / "cdr.yml"
    path.write_text("columns: {callee: Rufnummer}\nzone: Europe/Berlin\nstrip: ['00']\n")
    assert read_mapping(path) == CdrFormat({"callee": "Rufnummer"}, "Europe/Berlin", strip=("00",))
    for text, why in (
        ("colums: {}", "did you mean"),
        ("columns: {calee: x}", "did you mean"),
        ("zone: Mars/Base", "no time zone"),
        ("decimal: ';'", "decimal is"),
        ("strip: abc", "strip holds"),
        ("[]", "has columns"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=why):
            read_mapping(path)
