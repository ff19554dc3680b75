"""The fleet in one table, and one node's facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.table import Table

from vosctl.push.result import HostResult


def print_status(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write a row a node: reachable, revision, since when, relay, calls, what is pending, who holds the lock."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("node", "state", "revision", "applied", "relay", "calls", "pending", "lock"):
        table.add_column(heading, overflow="fold")
    for name, result in results.items():
        table.add_row(name, result.status.value, *_row(result.report))
    console.print(table)


def print_facts(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write each node's facts, a line a fact."""
    for name, result in results.items():
        console.print(name, style="bold")
        if result.error is not None:
            console.print(f"    {result.error}")
        for key, value in sorted(result.report.items()):
            console.print(f"    {key}: {_flat(value)}")


def _row(report: Mapping[str, Any]) -> tuple[str, ...]:
    applied = report.get("applied") or {}
    relay = report.get("relay") or {}
    pending = report.get("pending") or {}
    lock = report.get("lock") or {}
    return (
        (applied.get("revision") or "-")[:12],
        _time(applied.get("time")),
        _relay(relay) if relay else "-",
        str(relay.get("calls", "-")),
        f"until {_time(pending['deadline'])} by {pending.get('holder', '?')}"
        if pending.get("deadline")
        else "-",
        f"{lock['holder']} since {_time(lock.get('since'))}" if lock.get("holder") else "-",
    )


def _relay(relay: Mapping[str, Any]) -> str:
    """Return the version, and what keeps the relay from taking calls."""
    words = [str(relay.get("version", "down"))]
    if (relay.get("media") or {}).get("missing"):
        words.append("no data plane")
    if relay.get("draining"):
        words.append("draining" if relay.get("calls") else "drained")
    return ", ".join(words)


def _time(epoch: float | None) -> str:
    if not epoch:
        return "-"
    return datetime.fromtimestamp(epoch, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_flat(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(_flat, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
