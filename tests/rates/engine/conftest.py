from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from vosctl.rates.engine.rated import CALLS


@pytest.fixture
def connection() -> Iterator[Any]:
    with duckdb.connect() as made:
        made.execute("set threads = 2")
        yield made


@pytest.fixture
def load(connection: Any) -> Any:
    """Make a table of calls of columns given by name, the others null."""

    def loaded(columns: dict[str, list[object]], name: str = "calls") -> str:
        given = {
            key: pa.array(values, pa.timestamp("us") if key == "started" else None)
            for key, values in columns.items()
        }
        connection.register("given_calls", pa.table(given))
        chosen = ", ".join(
            f"{key if key in columns else 'null'}::{kind} as {key}" for key, kind in CALLS.items()
        )
        connection.execute(f"create or replace table {name} as select {chosen} from given_calls")
        connection.unregister("given_calls")
        return f"select * from {name}"

    return loaded
