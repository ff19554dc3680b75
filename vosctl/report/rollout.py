"""What a run says of its batches, and a node's history as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable
from vosctl.push.result import HostResult
from vosctl.push.schedule import Batch
from vosctl.site.rollout import Order

_SHOWN = 3
_STYLES = {"confirmed": "green", "waiting": "yellow", "changing": "yellow"}


def print_batches(console: Console, batches: Sequence[Batch], seed: int) -> None:
    """Write the batches of a run that has more than one, and the seed of a shuffled order."""
    if any(batch.rollout.order is Order.SHUFFLE for batch in batches):
        console.print(Text(f"order: shuffle, again with --seed {seed}"))
    if len(batches) < 2:
        return
    console.print(Text(f"ROLLOUT: {len(batches)} batches", style="bold"))
    for number, batch in enumerate(batches, 1):
        gates = f"; then {', '.join(map(str, batch.rollout.health))}" if batch.rollout.health else ""
        console.print(Text(f"  {number}: {', '.join(batch.nodes)}{gates}"))


def print_history(console: Console, results: Mapping[str, HostResult], last: int) -> None:
    """Write the last applies of each node, the latest first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("node", "when", "who", "revision", "result", "changed"):
        table.add_column(heading, overflow="fold")
    for name, result in results.items():
        for record in reversed((result.report.get("history") or [])[-last:]):
            table.add_row(name, *_row(record))
    if table.row_count:
        console.print(table)


def _row(record: Mapping[str, Any]) -> tuple[Text, ...]:
    result, why = str(record.get("result")), str(record.get("why") or "")
    told = Text(result, style=_STYLES.get(result, "bold magenta"))
    if why:
        told.append(f": {printable(why)}")
    return (
        Text(when(record.get("time"))),
        Text(printable(str(record.get("holder") or "-"))),
        Text(printable(str(record.get("revision") or "-"))),
        told,
        Text(printable(_changes(record))),
    )


def _changes(record: Mapping[str, Any]) -> str:
    changed, count = list(record.get("changed") or []), int(record.get("count") or 0)
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(map(str, changed[:_SHOWN])) + more or "nothing"


def when(epoch: Any) -> str:
    """Return a moment in UTC, as 2026-01-31 14:05:09Z."""
    if not isinstance(epoch, (int, float)):
        return "-"
    return datetime.fromtimestamp(epoch, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
