"""What differs between two sides' calls, each difference of one class, in money that is exact."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct

from vosctl.rates.engine.rated import UNIT_PLACES
from vosctl.rates.reconcile.pairs import PAIRS, pair, shift_of
from vosctl.rates.reconcile.sides import OURS, THEIRS, Tolerance, within

COMPARED = "compared"


class Class(Enum):
    """The classes of pairs and of calls without one, in the order in which they are shown."""

    AGREED = "agreed"
    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"
    DURATION = "duration"
    RATE = "rate"
    ROUNDING = "rounding"
    ZONE = "time zone"
    UNPRICED = "no amount"


class Total(Struct, frozen=True):
    """The calls of one class and their amounts, in 10^-8; ``difference`` is theirs less ours."""

    kind: Class
    calls: int
    ours: int
    theirs: int

    @property
    def difference(self) -> int:
        """What they ask beyond what we say."""
        return self.theirs - self.ours


class Reconciled(Struct, frozen=True):
    """What came of it: calls of each side, the shift of their times as a whole (ms), the last place that amounts have."""

    ours: int
    theirs: int
    shift: int
    rounding: int
    totals: tuple[Total, ...]

    @property
    def total(self) -> Total:
        """All classes together."""
        sums = (sum(getattr(each, name) for each in self.totals) for name in ("calls", "ours", "theirs"))
        return Total(Class.AGREED, *sums)


def reconcile(
    connection: Any, tolerance: Tolerance, begin: datetime | None = None, end: datetime | None = None
) -> Reconciled:
    """Pair the calls of the tables ``ours`` and ``theirs`` (``sides.load``) and class each; bounds are of our clock.

    The table ``compared`` then holds a row for every pair and every call without one.
    """
    shift = shift_of(connection, tolerance)
    if shift:
        connection.execute(f"update {THEIRS} set began = began - {shift}")
    counts = []
    for name in (OURS, THEIRS):
        kept = within(name, begin, end)
        connection.execute(f"create or replace table {name} as {kept}")
        counts.append(int(connection.execute(f"select count(*) from {name}").fetchone()[0]))
    pair(connection, tolerance)
    rounding = _last_place(connection)
    connection.execute(f"create or replace table {COMPARED} as {_compared(tolerance, rounding)}")
    here, there = counts
    return Reconciled(here, there, shift, rounding, _totals(connection))


def _last_place(connection: Any) -> int:
    """Return one of the last place of the side whose amounts have fewer decimals, in 10^-8."""
    return max(_unit(connection, name) for name in (OURS, THEIRS))


def _unit(connection: Any, name: str) -> int:
    tests = ", ".join(f"bool_and(amount % {10**place} = 0)" for place in range(1, UNIT_PLACES + 1))
    found = connection.execute(f"select {tests} from {name} where amount <> 0").fetchone()
    return int(10 ** sum(1 for each in found if each))


def _compared(tolerance: Tolerance, rounding: int) -> str:
    """Return SQL of all pairs and lone calls with their class; ``moment`` is on our clock."""
    # Amounts for each second agree although durations do not: theirs × our duration = ours × theirs, in whole numbers.
    in_step = (
        "abs(t.amount::hugeint * o.duration_ms - o.amount::hugeint * t.duration_ms)"
        f" <= {rounding}::hugeint * greatest(o.duration_ms, t.duration_ms)"
    )
    kind = f"""case
        when o.id is null then '{Class.MISSING_HERE.value}'
        when t.id is null then '{Class.MISSING_THERE.value}'
        when p.shift <> 0 then '{Class.ZONE.value}'
        when abs(t.duration_ms - o.duration_ms) > {tolerance.duration_ms} then '{Class.DURATION.value}'
        when t.amount is null or o.amount is null then '{Class.UNPRICED.value}'
        when t.amount = o.amount then '{Class.AGREED.value}'
        when abs(t.amount - o.amount) <= {rounding} then '{Class.ROUNDING.value}'
        when t.duration_ms <> o.duration_ms and {in_step} then '{Class.DURATION.value}'
        else '{Class.RATE.value}' end"""
    return f"""
        select {kind} as class, coalesce(o.number, t.number) as number,
            make_timestamp(coalesce(o.began, t.began) * 1000) as moment,
            o.call_id as our_call, t.call_id as their_call,
            o.duration_ms as our_ms, t.duration_ms as their_ms,
            coalesce(p.shift, 0) // 60000 as shift_minutes,
            o.amount as our_amount, t.amount as their_amount,
            coalesce(t.amount, 0) - coalesce(o.amount, 0) as difference
        from {OURS} o left join {PAIRS} p on p.ours = o.id full join {THEIRS} t on t.id = p.theirs
        """


def _totals(connection: Any) -> tuple[Total, ...]:
    found = connection.execute(
        "select class, count(*), sum(coalesce(our_amount, 0)::hugeint), sum(coalesce(their_amount, 0)::hugeint)"
        f" from {COMPARED} group by class"
    ).fetchall()
    by_class = {name: numbers for name, *numbers in found}
    return tuple(Total(kind, *map(int, by_class[kind.value])) for kind in Class if kind.value in by_class)


def differences(connection: Any, most: int | None = None) -> Any:
    """Return the pairs and lone calls that do not agree as an Arrow table, the most money first."""
    limit = "" if most is None else f" limit {most}"
    return connection.execute(
        f"select * from {COMPARED} where class <> '{Class.AGREED.value}'"
        f" order by abs(difference) desc, moment, number, our_call, their_call{limit}"
    ).fetch_arrow_table()
