"""Whom the nodes keep out by name: since when, until when, by whose word and why."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable

Json = Mapping[str, Any]
_HEADINGS = ("node", "address", "since", "until", "by", "why", "packets")


def table(nodes: Mapping[str, Sequence[Json]]) -> Table:
    """Return every ban of the nodes, people's first, the latest on top; what is not in force stands out."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _HEADINGS:
        made.add_column(heading, overflow="fold", justify="right" if heading == "packets" else "left")
    for node, bans in nodes.items():
        for ban in sorted(bans, key=_order):
            made.add_row(*_cells(node, ban))
    return made


def summary(nodes: Mapping[str, Sequence[Json]]) -> str:
    """Return how many bans there are, how many of them by people, and whether all are in force."""
    every = [ban for bans in nodes.values() for ban in bans]
    people = sum(ban["source"] == "person" for ban in every)
    words = f"{len(every)} ban{'' if len(every) == 1 else 's'}, {people} by people"
    missing = sum(not ban["in_force"] for ban in every)
    return f"{words}; {missing} not in force: vosctl apply brings them back" if missing else words


def when(epoch: float | None, *, never: str = "-") -> str:
    """Return a moment in UTC; ``never`` for None."""
    if epoch is None:
        return never
    return datetime.fromtimestamp(epoch, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def left(until: float | None) -> str:
    """Return until when a ban holds, in words."""
    return when(until, never="taken back") if until is None or until > time.time() else "over"


def _order(ban: Json) -> tuple[object, ...]:
    return ban["source"] != "person", -(ban["since"] or 0), ban["address"]


def _cells(node: str, ban: Json) -> list[Text]:
    person = ban["source"] == "person"
    words = (
        node,
        ban["address"],
        when(ban["since"]),
        left(ban["until"]),
        ban["by"] if person else "a rule",
        (ban["reason"] or "-") if ban["in_force"] else f"NOT IN FORCE {ban['reason']}".strip(),
        "-" if ban["packets"] is None else f"{ban['packets']:,}",
    )
    style = "bold red" if not ban["in_force"] else "" if person else "dim"
    return [Text(printable(str(word)), style=style) for word in words]
