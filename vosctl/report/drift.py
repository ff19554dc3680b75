"""What moved on each node and since when at the latest, as far as the node's own records know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from vosctl.plan.printable import printable
from vosctl.push.result import HostResult
from vosctl.report.rollout import when


def print_moved(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write for each thing that moved when it was last known to be right, and when it was first seen moved."""
    for name, result in results.items():
        moved = result.report.get("moved") or {}
        if not moved:
            continue
        console.print()
        console.print(Text(f"SINCE WHEN {name}", style="bold"))
        for item, known in moved.items():
            line = Text(f"  {printable(item)}: ", style="yellow")
            line.append(since(known, result.report.get("last") or {}), style="not bold default")
            console.print(line)


def since(known: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """Return what is known of when a thing moved, in words; times are by the node's clock."""
    right = when(known.get("right"))
    source = "a check found it right"
    if known.get("by") == "apply":
        source = f"applied by {printable(str(last.get('holder') or 'unknown'))}"
    words = [f"right at {right} ({source})", f"moved by {when(known.get('seen'))}"]
    mtime = known.get("mtime")
    if isinstance(mtime, int) and int(known.get("right") or 0) <= mtime:
        words.append(f"written {when(mtime)} by its mtime")
    return ", ".join(words)
