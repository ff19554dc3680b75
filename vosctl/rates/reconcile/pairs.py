"""Pairs of calls: by number, beginning and duration; no call is in two pairs, and of possible pairs the closest wins.

Two calls may be one where their numbers are equal and their beginnings within the tolerance. Whole files that
are some quarters of an hour apart are found by a vote of the numbers that are rare; single calls that are, by a
second look at what is left. Every join is on equal values: beginnings fall into slots as wide as the tolerance,
and a call of ours looks into its own slot and the two beside it.
"""

from __future__ import annotations

from typing import Any

from vosctl.rates.reconcile.sides import OURS, THEIRS, Tolerance

PAIRS = "pairs"
_CANDIDATES = "candidates"
# Time zones differ by quarters of an hour, by 26 hours at most (UTC-12 to UTC+14).
QUARTER_MS = 15 * 60 * 1000
FARTHEST_MS = 26 * 60 * 60 * 1000
# A number that was called more often says little about which call is which.
_RARE, _VOTERS, _FEWEST_VOTES = 4, 100_000, 3
_BATCH = 100_000


def shift_of(connection: Any, tolerance: Tolerance) -> int:
    """Return by how many milliseconds the times of ``theirs`` as a whole are later than those of ``ours``.

    It is a number of quarters of an hour; 0 unless most calls to rare numbers agree on another one.
    """
    votes = connection.execute(
        f"""
        with few as (
            select number from {OURS} group by number having count(*) <= {_RARE}
            intersect
            select number from {THEIRS} group by number having count(*) <= {_RARE}
        ), voters as (select number from few order by hash(number) limit {_VOTERS}),
        apart as (
            select o.id, t.began - o.began as by_ms,
                round((t.began - o.began) / {QUARTER_MS}.0)::bigint * {QUARTER_MS} as shift
            from voters join {OURS} o using (number) join {THEIRS} t using (number)
            where abs(t.duration_ms - o.duration_ms) <= {max(tolerance.duration_ms, 1000)}
                and abs(t.began - o.began) <= {FARTHEST_MS}
        )
        select shift, count(distinct id) as votes from apart
        where abs(by_ms - shift) <= {tolerance.time_ms} group by shift order by votes desc, abs(shift), shift
        """
    ).fetchall()
    if not votes:
        return 0
    shift, most = votes[0]
    every = sum(count for _, count in votes)
    return int(shift) if most >= _FEWEST_VOTES and 2 * most > every else 0


def pair(connection: Any, tolerance: Tolerance) -> None:
    """Make the table ``pairs`` (ours, theirs, shift in ms): first those in time, then those of another time zone."""
    connection.execute(f"create or replace table {PAIRS} (ours bigint, theirs bigint, shift bigint)")
    _propose(connection, _in_time(tolerance))
    _choose(connection)
    _propose(connection, _quarters_apart(tolerance))
    _choose(connection)


def _propose(connection: Any, query: str) -> None:
    connection.execute(f"create or replace table {_CANDIDATES} as {query}")


def _in_time(tolerance: Tolerance) -> str:
    slot = f"(began // {tolerance.time_ms})"
    return f"""
        with looking as ({_beside(f"select *, {slot} as slot from {OURS}")}),
        found as (select *, {slot} as slot from {THEIRS})
        select o.id as ours, t.id as theirs, 0::bigint as shift,
            abs(t.duration_ms - o.duration_ms) > {tolerance.duration_ms} as longer,
            abs(t.began - o.began) + abs(t.duration_ms - o.duration_ms) as apart,
            abs(t.began - o.began) as late
        from looking o join found t using (number, slot)
        where abs(t.began - o.began) <= {tolerance.time_ms}
        """


def _quarters_apart(tolerance: Tolerance) -> str:
    """Return SQL of the calls left that are whole quarters of an hour apart: the slots are those of a quarter."""
    slots = max(QUARTER_MS // tolerance.time_ms, 3)
    slot = f"((began % {QUARTER_MS}) * {slots} // {QUARTER_MS})"
    left = (
        f"select *, {slot} as slot from {name} where id not in (select {name} from {PAIRS})"
        for name in (OURS, THEIRS)
    )
    ours, theirs = left
    return f"""
        with looking as ({_beside(ours, slots)}), found as ({theirs}),
        near as (
            select o.id as ours, t.id as theirs, t.began - o.began as by_ms,
                round((t.began - o.began) / {QUARTER_MS}.0)::bigint * {QUARTER_MS} as shift,
                abs(t.duration_ms - o.duration_ms) as longer_by
            from looking o join found t using (number, slot)
            where abs(t.began - o.began) <= {FARTHEST_MS}
                and abs(t.duration_ms - o.duration_ms) <= {tolerance.duration_ms}
        )
        select ours, theirs, shift, false as longer, abs(by_ms - shift) + longer_by as apart, abs(shift) as late
        from near where shift <> 0 and abs(by_ms - shift) <= {tolerance.time_ms}
        """


def _beside(calls: str, slots: int = 0) -> str:
    """Return calls three times: in their slot, the one before and the one after, around the circle of so many."""

    def moved(step: int) -> str:
        at = f"(slot + {slots + step}) % {slots}" if slots else f"slot + {step}"
        return f"select * replace ({at} as slot) from ({calls})"

    return " union all ".join(map(moved, (-1, 0, 1)))


def _choose(connection: Any) -> None:
    """Take pairs that nobody else wants at once; of the others the closest first."""
    counted = (
        f"select *, count(*) over (partition by ours) as wanted, count(*) over (partition by theirs) as wanting"
        f" from {_CANDIDATES}"
    )
    connection.execute(
        f"insert into {PAIRS} select ours, theirs, shift from ({counted}) where wanted = 1 and wanting = 1"
    )
    contested = connection.execute(
        f"select ours, theirs, shift from ({counted}) where wanted > 1 or wanting > 1"
        " order by longer, apart, late, ours, theirs"
    )
    taken: tuple[set[int], set[int]] = set(), set()
    chosen: list[tuple[int, int, int]] = []
    while rows := contested.fetchmany(_BATCH):
        for ours, theirs, shift in rows:
            if ours not in taken[0] and theirs not in taken[1]:
                taken[0].add(ours)
                taken[1].add(theirs)
                chosen.append((ours, theirs, shift))
    _insert(connection, chosen)


def _insert(connection: Any, chosen: list[tuple[int, int, int]]) -> None:
    import pyarrow as pa  # noqa: PLC0415  needs vosctl[rates]

    if not chosen:
        return
    columns = zip(*chosen, strict=True)
    names = ("ours", "theirs", "shift")
    table = pa.table(
        {name: pa.array(values, pa.int64()) for name, values in zip(names, columns, strict=True)}
    )
    connection.register("chosen", table)
    connection.execute(f"insert into {PAIRS} select ours, theirs, shift from chosen")
    connection.unregister("chosen")
