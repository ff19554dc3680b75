"""Plans on a terminal: the text of vosctl.plan.text with colours that also carry signs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from vosctl.plan.change import Plan
from vosctl.plan.printable import printable
from vosctl.plan.text import render
from vosctl.plan.traffic import effects
from vosctl.push.result import HostResult

_TRAFFIC = {": now accepted": "green", ": now dropped": "red"}
_STYLES = {"+": "green", "-": "red", "@": "cyan", "~": "yellow", "!": "magenta"}


def print_plans(
    console: Console, results: Mapping[str, HostResult], *, diff: bool, held: bool = False
) -> None:
    """Write the plan of each node that has one; nodes with nothing to do share one line.

    ``held`` lists what is left alone on a node, and why; otherwise it is only counted.
    """
    quiet: list[str] = []
    for name, result in results.items():
        if result.plan is None:
            continue
        if result.plan or result.plan.refusal:
            print_plan(console, result.plan, diff=diff, held=held)
        else:
            quiet.append(name)
    if quiet:
        console.print(Text(f"no change: {', '.join(quiet)}", style="green"))


def print_plan(console: Console, plan: Plan, *, diff: bool, held: bool) -> None:
    """Write one node's plan; the first sign of a line gives its colour.

    With ``diff``, changes of the packet filter are followed by the traffic that they accept or drop.
    """
    first, *lines = render(plan, diff=diff, held=held).splitlines()
    console.print(Text(first, style="bold"))
    for line in lines:
        console.print(Text(line, style=_STYLES.get(line.strip()[:1], "")))
    if diff and plan.revisions:
        for line in effects(plan.revisions):
            console.print(Text(f"  traffic: {printable(line)}", style=_traffic_style(line)), soft_wrap=True)


def _traffic_style(line: str) -> str:
    return next((style for words, style in _TRAFFIC.items() if words in line), "")
