from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from planted import CLASSES, plant, write

from vosctl.cli.main import run
from vosctl.errors import UsageError
from vosctl.rates.reconcile.classes import COMPARED, Reconciled, reconcile
from vosctl.rates.reconcile.sides import Tolerance


@pytest.fixture
def ask(tmp_path, capsys):
    def asked(planted, *words):
        ours, theirs = write(planted, tmp_path)
        assert run(["rates", "reconcile", str(ours), str(theirs), "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)

    return asked


@pytest.mark.parametrize("hours", [0, 2, -5.5])
def test_exactly_what_was_planted_is_found(ask, hours):
    planted = plant(3, 1500, shift=timedelta(hours=hours))
    found = ask(planted)
    assert found["shift_minutes"] == hours * 60
    classes = {each.get("our_call") or each["their_call"]: each["class"] for each in found["differences"]}
    assert classes == planted.differing
    assert set(classes.values()) == set(CLASSES)
    # Which call of theirs is which of ours is as planted.
    pairs = [each for each in found["differences"] if "our_call" in each and "their_call" in each]
    assert all(each["our_call"][1:] == each["their_call"][1:] for each in pairs)
    money = {name: Decimal(each["difference"]) for name, each in found["totals"].items() if name != "agreed"}
    assert money == planted.money
    assert Decimal(found["all"]["difference"]) == sum(planted.money.values())


@pytest.fixture
def compare():
    """Reconcile calls: (call, number, began in ms, duration in ms, amount)."""
    connection = duckdb.connect()

    def compared(
        ours: Sequence[tuple], theirs: Sequence[tuple], **spans: int
    ) -> tuple[Reconciled, list[tuple]]:
        for name, rows in (("ours", ours), ("theirs", theirs)):
            connection.execute(
                f"create or replace table {name} (id bigint, call_id varchar, number varchar, began bigint,"
                " duration_ms bigint, amount bigint)"
            )
            for at, row in enumerate(rows):
                connection.execute(f"insert into {name} values (?, ?, ?, ?, ?, ?)", [at, *row])
        tolerance = Tolerance(**{name: timedelta(milliseconds=span) for name, span in spans.items()})
        found = reconcile(connection, tolerance)
        rows = connection.execute(
            f"select class, our_call, their_call from {COMPARED} order by all"
        ).fetchall()
        return found, rows

    yield compared
    connection.close()


def test_no_call_is_matched_twice_and_the_closest_pair_wins(compare):
    ours = [("a", "49", 10_000, 60_000, 100), ("b", "49", 13_000, 60_000, 100)]
    theirs = [("x", "49", 12_500, 60_000, 100)]
    _, rows = compare(ours, theirs)
    assert rows == [("agreed", "b", "x"), ("missing there", "a", None)]


def test_a_call_that_lost_its_closest_takes_the_next(compare):
    ours = [("a", "49", 10_000, 60_000, 100), ("b", "49", 12_000, 60_000, 100)]
    theirs = [("x", "49", 12_100, 60_000, 100), ("y", "49", 14_900, 60_000, 100)]
    _, rows = compare(
        ours, theirs
    )  # a is nearer to x than to y, but b is nearer to x still; y is within 5 s of a
    assert rows == [("agreed", "a", "y"), ("agreed", "b", "x")]


def test_equal_durations_count_before_closer_beginnings(compare):
    ours = [("a", "49", 10_000, 60_000, 100)]
    theirs = [("x", "49", 10_000, 300_000, 500), ("y", "49", 12_000, 60_000, 100)]
    _, rows = compare(ours, theirs)
    assert rows == [("agreed", "a", "y"), ("missing here", None, "x")]


def test_identical_calls_are_paired_one_to_one(compare):
    calls = [(f"c{at}", "49", 10_000, 60_000, 100) for at in range(40)]
    found, _ = compare(calls, calls[:37])
    assert {each.kind.value: each.calls for each in found.totals} == {"agreed": 37, "missing there": 3}


@pytest.mark.parametrize(("apart", "kind"), [(5000, "agreed"), (5001, "missing")])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_tolerance_of_time_is_kept_to_the_millisecond(compare, apart, kind, sign):
    began = 1_762_000_000_000 + 4_999
    _, rows = compare([("a", "49", began, 60_000, 1)], [("x", "49", began + sign * apart, 60_000, 1)])
    assert all(row[0].startswith(kind) for row in rows)


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        # 0.0095 a minute by the second: 60 s are 950,000 units of 10^-8, 61 s 965,833.
        ((60_000, 950_000), (61_000, 965_833), "duration"),  # within the tolerance, but the money goes with it
        ((60_000, 950_000), (63_000, 997_500), "duration"),
        ((60_000, 950_000), (63_000, 950_000), "duration"),
        ((60_000, 950_000), (61_000, 1_050_000), "rate"),
        ((60_000, 950_001), (60_000, 950_002), "rounding"),
        ((60_000, 950_001), (60_000, 950_003), "rate"),
        ((60_000, 951_234), (60_000, 1_000_000), "rounding"),  # theirs are whole cents
        ((60_000, 951_234), (60_000, 3_000_000), "rate"),
        ((60_000, None), (60_000, 3_000_000), "no amount"),
    ],
)  # fmt: skip
def test_what_a_pair_differs_in(compare, ours, theirs, kind):
    _, rows = compare([("a", "49", 0, *ours)], [("x", "49", 0, *theirs)])
    assert rows == [(kind, "a", "x")]


def test_calls_beside_midnight_of_quarters_are_of_another_zone(compare):
    # 899.9 s and 0.1 s into their quarters of an hour: the slots are a circle.
    ours = [("a", "49", 899_900, 60_000, 1)]
    theirs = [("x", "49", 900_100 + 3_600_000, 60_000, 1)]
    _, rows = compare(ours, theirs, time=7000)
    assert rows == [("time zone", "a", "x")]


def test_a_shift_needs_more_than_a_few_calls(compare):
    calls = [(f"c{at}", f"49{at}", 60_000 * at, 60_000, 1) for at in range(3)]
    later = [(name, number, began + 7_200_000, *rest) for name, number, began, *rest in calls]
    assert compare(calls, later)[0].shift == 7_200_000
    assert compare(calls[:2], later[:2])[0].shift == 0


def test_a_tolerance_that_matches_anything_is_refused():
    for span in (timedelta(0), timedelta(minutes=6)):
        with pytest.raises(UsageError):
            Tolerance(time=span)


def test_each_format_is_written(tmp_path, capsys):
    planted = plant(5, 200)
    ours, theirs = map(str, write(planted, tmp_path))
    for kind in ("csv", "parquet", "html"):
        out = tmp_path / f"out.{kind}"
        assert run(["rates", "reconcile", ours, theirs, "--format", kind, "--out", str(out)]) == 0
        assert out.stat().st_size > 500
    rows = duckdb.connect().execute(f"select class, difference from '{tmp_path}/out.parquet'").fetchall()
    assert len(rows) == len(planted.differing) == len((tmp_path / "out.csv").read_text().splitlines()) - 1
    assert sum(difference for _, difference in rows) == sum(planted.money.values())
    page = (tmp_path / "out.html").read_text()
    assert "missing there" in page and "http" not in page.replace("http-equiv", "")
    capsys.readouterr()
    assert run(["rates", "reconcile", ours, theirs]) == 0
    shown = capsys.readouterr().out
    assert "missing here" in shown and "What differs" in shown


def test_our_amounts_by_the_decks_of_the_site(tmp_path, capsys):
    site = str(Path(__file__).parents[3] / "playbooks/site.yml")
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    head = "call_id,started,duration,callee,customer_gateway,vendor_gateway,cost"
    ours.write_text(
        f"{head}\na,2026-11-02 10:00:00,60,4420123456,acme,polar,9\n"
        "b,2026-11-02 10:00:00,60,4420123457,acme,orbit,9\n"
    )
    theirs.write_text("id,start,billsec,called,amount\nx,2026-11-02 10:00:01,60,4420123456,0.007\n")
    words = ["rates", "reconcile", str(ours), str(theirs), "--json", "--vendor", "polar"]
    assert run([*words, "--by-decks", "--playbook", site]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all"] == {
        "calls": 1,
        "ours": "0.00580000",
        "theirs": "0.00700000",
        "difference": "0.00120000",
    }
    assert run(words) == 0  # without the decks, what the file says
    assert json.loads(capsys.readouterr().out)["all"]["ours"] == "9.00000000"
