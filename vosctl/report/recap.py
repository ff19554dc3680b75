"""The last lines of a run: a node a line, in Ansible's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from vosctl.plan.change import Plan
from vosctl.plan.json import as_dict
from vosctl.plan.printable import printable
from vosctl.push.result import HostResult, Status

_STYLES = {
    Status.OK: "green",
    Status.CHANGED: "yellow",
    Status.FAILED: "bold red",
    Status.UNREACHABLE: "bold red",
    Status.ROLLED_BACK: "bold magenta",
    Status.UNTOUCHED: "cyan",
}


def print_recap(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write ``node : ok changed=3 held=1 …`` for each node, failures with their reason below."""
    width = max((len(name) for name in results), default=0)
    console.print()
    console.print(Text("RECAP", style="bold"))
    for name, result in results.items():
        line = Text(f"{name:<{width}} : ")
        line.append(f"{result.status.value:<11}", style=_STYLES[result.status])
        line.append(f" {_figures(result)}")
        console.print(line)
        if result.error is not None:
            console.print(Text(_indented(str(result.error)), style=_STYLES[result.status]))
        elif result.report.get("missing"):
            missing = printable(f"the relay takes no calls: {result.report['missing']}")
            console.print(Text(_indented(missing), style="bold red"))


def as_json(results: Mapping[str, HostResult]) -> dict[str, Any]:
    """Return the outcome of each node as a JSON-ready object."""
    return {
        name: {
            "status": result.status.value,
            "plan": as_dict(result.plan) if result.plan is not None else None,
            "error": None
            if result.error is None
            else {"message": result.error.message, "hint": result.error.hint},
            "report": dict(result.report),
            "seconds": {step: round(value, 3) for step, value in result.timings.items()},
        }
        for name, result in results.items()
    }


def _figures(result: HostResult) -> str:
    if result.status is Status.UNTOUCHED:
        return str(result.report.get("outcome", ""))
    plan = result.plan or Plan(node=result.node)
    figures = [f"changes={len(plan.changes)}"]
    if plan.drift:
        figures.append(f"drift={len(plan.drift)}")
    if plan.held:
        figures.append(f"held={len(plan.held)}")
    if "batch" in result.report:
        figures.append(f"batch {result.report['batch']}")
    if result.timings:
        figures.append(f"{sum(result.timings.values()):.1f} s")
    return "  ".join(figures)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
