"""The two files of a reconciliation as tables of the same shape, and what is compared of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from vosctl.errors import UsageError
from vosctl.rates.reports.scope import naive

OURS, THEIRS = "ours", "theirs"
_LONGEST = timedelta(minutes=5)


class Tolerance(Struct, frozen=True):
    """How far the beginnings and the durations of one call may lie apart; at most five minutes for beginnings."""

    time: timedelta = timedelta(seconds=5)
    duration: timedelta = timedelta(seconds=2)

    def __post_init__(self) -> None:
        """Raise UsageError where calls could be matched with anything."""
        if not timedelta(0) < self.time <= _LONGEST:
            raise UsageError(
                "the tolerance of time is more than nothing and at most 5 minutes",
                hint="calls further apart are of another time zone, which is found by itself",
            )
        if self.duration < timedelta(0):
            raise UsageError("the tolerance of duration is no negative time")

    @property
    def time_ms(self) -> int:
        """Milliseconds that beginnings may differ by."""
        return milliseconds(self.time)

    @property
    def duration_ms(self) -> int:
        """Milliseconds that durations may differ by."""
        return milliseconds(self.duration)


def milliseconds(span: timedelta) -> int:
    """Return a span in whole milliseconds."""
    return span // timedelta(milliseconds=1)


def load(connection: Any, name: str, calls: str, *, amount: str, digits: int = 0) -> int:
    """Make the table ``name``: id, call_id, number, began (ms since 1970), duration_ms, amount; return its rows.

    ``calls`` is SQL with the columns of a call, ``amount`` SQL of what it costs. Of numbers only the last
    ``digits`` are compared; 0 is all. Calls that were not answered and cost nothing are left out.
    """
    number = f"right(callee, {digits})" if digits else "callee"
    connection.execute(
        f"create or replace table {name} as select row_number() over () as id, call_id,"
        f" {number} as number, epoch_ms(started) as began, duration_ms, ({amount})::bigint as amount"
        f" from ({calls}) where duration_ms > 0 or coalesce({amount}, 0) <> 0"
    )
    return int(connection.execute(f"select count(*) from {name}").fetchone()[0])


def within(name: str, begin: datetime | None, end: datetime | None) -> str:
    """Return SQL of the calls of a table that began in a time, the end excluded."""
    conditions = ["true"]
    if begin is not None:
        conditions.append(f"began >= epoch_ms(timestamp '{naive(begin)}')")
    if end is not None:
        conditions.append(f"began < epoch_ms(timestamp '{naive(end)}')")
    return f"select * from {name} where {' and '.join(conditions)}"
