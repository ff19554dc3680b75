"""Rates CDRs in bulk: one side, both sides with the margin, fifty million in bounded memory, and ten times as many.

The calls are made by DuckDB from a seed: numbers of all prefixes that phonenumbers knows, durations up to five
minutes, thirty customers. They are read from Parquet, as a night's CDRs would be. The peer is what one writes first:
a loop over a sample of the same calls with a dictionary of prefixes, ``datetime`` aside, and ``Decimal``.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from bench.rates_prefixes import prefixes
from vosctl.rates.engine.rated import CALLS, UNIT
from vosctl.rates.engine.rating import Rating, survey
from vosctl.site.decks import Deck, Rate, Rates
from vosctl.site.tree import Mark

NAMES = ("rates-cdr", "rates-cdr-memory", "rates-linear")
MILLION = 1_000_000
SOME, MANY, LINEAR = 8 * MILLION, 50 * MILLION, 2 * MILLION
SAMPLE = 50_000
CLAIMED = 50_000
MEMORY = "2GB"
ONE = {"columns": {"revenue"}, "sides": {"customer"}}
BOTH = {"columns": {"revenue", "expense", "margin"}}
BY_CUSTOMER = {"columns": {"customer", "revenue", "expense", "margin"}}
_SUM_ONE = "select sum(revenue) as revenue from {}"
_SUM_BOTH = "select sum(revenue) as revenue, sum(expense) as expense, sum(margin) as margin from {}"


def run(name: str) -> list[dict[str, Any]]:
    """Return the figures of one bench."""
    if name == "rates-linear":
        return [_linear()]
    if name == "rates-cdr-memory":
        return [_memory()]
    return _speed()


def _speed() -> list[dict[str, Any]]:
    with _calls(SOME) as (connection, calls):
        rating = Rating(connection, _rates(), survey(connection, calls))  # type: ignore[arg-type]
        one, one_cpu, _ = _timed(rating, calls, _SUM_ONE, ONE)
        both, both_cpu, sums = _timed(rating, calls, _SUM_BOTH, BOTH)
        assert sums["margin"] == [sums["revenue"][0] - sums["expense"][0]]
        peer = _peer(rating, calls, connection)
    print(f"one side: {one_cpu:.2f} s of CPU for {SOME:,} calls; both: {both_cpu:.2f} s")
    unit = f"CDRs/s (CPU: {SOME / one_cpu:,.0f} a core)"
    both_unit = f"CDRs/s with margin (CPU: {SOME / both_cpu:,.0f} a core)"
    return [
        _result("rates-cdr-one-side", SOME / one, unit, "a loop with Decimal", peer),
        _result("rates-cdr-both-sides", SOME / both, both_unit, "a loop with Decimal, twice", peer / 2),
        _result("rates-cdr-claim", SOME / one, "CDRs/s", "CGRateS' published claim", CLAIMED),
    ]


def _memory() -> dict[str, Any]:
    """Rate fifty million in a process of its own, whose memory is then its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.rates_cdr", str(MANY)], check=True, capture_output=True, text=True
    )
    sys.stderr.write(done.stderr)
    seconds, cpu, peak = map(float, done.stdout.split()[-3:])
    unit = f"GB at most for {MANY:,} CDRs, both sides, {seconds:.0f} s ({cpu:.0f} s of CPU)"
    return _result("rates-cdr-memory", round(peak, 2), unit, "what is allowed", 4.0, only="rates-cdr-memory")


def _linear() -> dict[str, Any]:
    times = []
    for count in (LINEAR, 10 * LINEAR):
        with _calls(count) as (connection, calls):
            rating = Rating(connection, _rates(), survey(connection, calls))  # type: ignore[arg-type]
            _, cpu, _ = _timed(rating, calls, _SUM_BOTH, BOTH)
            times.append(cpu)
    unit = f"times the CPU for 10 times {LINEAR:,} CDRs"
    return _result(
        "rates-linear", round(times[1] / times[0], 2), unit, "what is allowed", 11.0, only="rates-linear"
    )


def _result(
    name: str, figure: float, unit: str, peer: str, theirs: float, *, only: str = "rates-cdr"
) -> dict[str, Any]:
    shown = figure if figure < CLAIMED else round(figure)
    return {"name": name, "figure": shown, "unit": unit, "peer": peer, "peer_figure": round(theirs, 2),
            "command": f"make bench ONLY={only}"}  # fmt: skip


def _timed(
    rating: Rating, calls: str, statement: str, options: dict[str, Any]
) -> tuple[float, float, dict[str, list[Any]]]:
    """Return the least seconds of three runs, their CPU seconds, and the sums."""
    best = None
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        table = rating.run(calls, statement.format, **options)
        took = time.perf_counter() - wall, time.process_time() - cpu
        best = min(best or took, took)
    assert best is not None
    return *best, {name: [int(value) for value in column] for name, column in table.to_pydict().items()}


@contextmanager
def _calls(count: int) -> Iterator[tuple[Any, str]]:
    """Make so many calls in a Parquet file; yield a DuckDB of bounded memory and the SQL that reads them."""
    with TemporaryDirectory(prefix="vosctl-bench-") as folder, duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{MEMORY}'; set threads = 2")
        connection.execute(f"set temp_directory = '{folder}'; set preserve_insertion_order = false")
        path = Path(folder) / "calls.parquet"
        connection.register("given", pa.table({"prefix": list(prefixes())}))
        connection.execute(
            "create temp table known as select row_number() over () - 1 as k, prefix from given"
        )
        made = {
            "call_id": "'c' || i", "duration_ms": "(hash(i * 7) % 300000)::bigint",
            "started": "timestamp '2026-11-22' + to_microseconds((hash(i * 3) % 86400000000)::bigint)",
            "callee": "prefix || lpad((hash(i) % 10000000)::varchar, greatest(2, 11 - length(prefix))::integer, '0')",
            "customer": "'customer ' || (i % 30)", "customer_deck": "'wholesale'",
            "vendor": "'vendor ' || (i % 12)", "vendor_deck": "'clearing'", "cause": "200",
        }  # fmt: skip
        columns = ", ".join(f"({made.get(name, 'null')})::{kind} as {name}" for name, kind in CALLS.items())
        connection.execute(
            f"copy (select {columns} from (select r.i, (hash(r.i * 11) % {len(prefixes())})::bigint as wanted"
            f" from range({count}) r(i)) join known on k = wanted) to '{path}' (row_group_size 122880)"
        )
        yield connection, f"select * from read_parquet('{path}')"


def _rates() -> Rates:
    return Rates("EUR", {"wholesale": _deck("wholesale", 1)}, {"clearing": _deck("clearing", 2)})


def _deck(name: str, seed: int) -> Deck:
    """Return a deck with a row for each prefix, at one price for those that begin alike, as price lists have."""
    rng = random.Random(seed)
    mark, nothing = Mark("bench", 1, 1), Decimal(0)
    prices: dict[str, tuple[Decimal, int]] = {}
    rows = {}
    for prefix in prefixes():
        start = prefix[:5]
        if start not in prices:
            prices[start] = Decimal(rng.randrange(1000, 200_000)).scaleb(-6), rng.choice((0, 6, 30))
        price, first = prices[start]
        rows[prefix] = Rate(prefix, price, 6, price, first, nothing, mark)
    return Deck(name, rows, mark)


def _peer(rating: Rating, calls: str, connection: Any) -> float:
    """Return the calls a second that a loop with Decimal rates, one side, and check that it agrees."""
    connection.execute(f"create table sample as {calls} limit {SAMPLE}")
    rows = connection.execute("select callee, duration_ms from sample").fetchall()
    table = {
        prefix: (row.rate, row.cycle, row.first_seconds) for prefix, row in _deck("wholesale", 1).rows.items()
    }
    begun = time.process_time()
    total, places = Decimal(0), Decimal("0.000001")
    for callee, duration in rows:
        for length in range(len(callee), 0, -1):
            found = table.get(callee[:length])
            if found is not None:
                rate, cycle, first = found
                steps = -(-max(0, duration - first * 1000) // (cycle * 1000))
                amount = rate * (first + steps * cycle) / 60 if duration else Decimal(0)
                total += amount.quantize(places, ROUND_HALF_UP)
                break
    took = time.process_time() - begun
    ours = rating.run("from sample", _SUM_ONE.format, **ONE).to_pylist()[0]["revenue"]
    assert Decimal(int(ours)) / UNIT == total, (ours, total)
    return SAMPLE / took


def _measure(count: int) -> None:
    """Rate so many calls and print seconds, CPU seconds and the most memory, in GB."""
    with _calls(count) as (connection, calls):
        rating = Rating(connection, _rates(), survey(connection, calls))  # type: ignore[arg-type]
        wall, cpu = time.perf_counter(), time.process_time()
        by_customer = (_SUM_BOTH + " group by customer").format
        assert len(rating.run(calls, by_customer, **BY_CUSTOMER)) == 30
        took = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MILLION
    print(*took, peak)


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
