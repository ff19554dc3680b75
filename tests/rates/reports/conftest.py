from __future__ import annotations

import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vosctl.rates.engine.rated import RATED
from vosctl.site.decks import Rates

SPAN = datetime(2026, 10, 23, 20, tzinfo=timezone.utc), datetime(2026, 10, 26, 3, tzinfo=timezone.utc)
_TYPES = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "TIMESTAMP": pa.timestamp("us"),
}
SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in RATED.items()])
EMPTY = Rates("EUR", {}, {})


def rated_calls(seed: int, count: int) -> list[dict[str, Any]]:
    """Calls with everything that can be missing, around the night in which Europe's clocks go back."""
    rng = random.Random(seed)
    begin, end = SPAN
    found = []
    for at in range(count):
        cause = rng.choice((200, 200, 200, 404, 486, 487, 503, 603, None))
        duration = rng.randrange(1, 600_000) if cause == 200 else 0
        # Amounts up to the largest that fit: their sums do not fit 64 bits.
        huge = rng.random() < 0.01
        revenue = (
            None if rng.random() < 0.1 else rng.randrange(9 * 10**18 if huge else 10**9) * (cause == 200)
        )
        expense = (
            None if rng.random() < 0.1 else rng.randrange(9 * 10**18 if huge else 10**9) * (cause == 200)
        )
        call = dict.fromkeys(RATED)
        call.update(
            call_id=f"c{at}",
            started=(begin + (end - begin) * rng.random()).replace(tzinfo=None),
            duration_ms=duration,
            callee="".join(rng.choice("0123456789") for _ in range(12)),
            customer=rng.choice(("acme", "bolt", "orbit", None)),
            customer_gateway=rng.choice(("acme-1", "acme-2", None)),
            customer_destination=rng.choice(("Germany", "Italy Mobile", "", None)),
            vendor=rng.choice(("orbit", "polar", None)),
            vendor_gateway=rng.choice(("orbit-1", "polar-1")),
            vendor_destination=rng.choice(("Germany", "Italy")),
            customer_prefix=rng.choice(("49", "39", None)),
            vendor_prefix=rng.choice(("49", "39")),
            customer_source=rng.choice(("retail", "wholesale", None)),
            vendor_source=rng.choice(("orbit", "polar")),
            agent=rng.choice(("lee", "kim", None)),
            pdd_ms=rng.choice((None, rng.randrange(9000))),
            cause=cause,
            billed=rng.choice((None, revenue, rng.randrange(10**9))),
            cost=rng.choice((None, expense, rng.randrange(10**9))),
            customer_seconds=None if revenue is None else -(-duration // 60_000) * 60,
            vendor_seconds=None if expense is None else -(-duration // 1000),
            customer_total=None if revenue is None else revenue + min(revenue, 10**9) // 5,
            vendor_total=None if expense is None else expense + min(expense, 10**9) // 7,
            revenue=revenue,
            expense=expense,
            margin=None if revenue is None or expense is None else revenue - expense,
        )
        found.append(call)
    return found


@pytest.fixture(scope="session")
def rated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 3,000 rated calls."""
    path = tmp_path_factory.mktemp("rated") / "rated.parquet"
    pq.write_table(pa.Table.from_pylist(rated_calls(7, 3000), SCHEMA), path, coerce_timestamps="us")
    return path


@pytest.fixture
def duck(tmp_path: Path) -> Any:
    """Make a table of calls in DuckDB as ibis has it."""
    connection = ibis.duckdb.connect()

    def made(calls: list[dict[str, Any]] | Path) -> Any:
        path = calls if isinstance(calls, Path) else tmp_path / "calls.parquet"
        if not isinstance(calls, Path):
            pq.write_table(pa.Table.from_pylist(calls, SCHEMA), path, coerce_timestamps="us")
        return connection.read_parquet(path)

    yield made
    connection.disconnect()
