"""A review on a terminal: risks by sign and word first, colour only beside them; and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from posixpath import normpath
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable
from vosctl.plan.risk import Level
from vosctl.review.model import Finding, NodeReview, Review, State

SIGNS = {Level.ERROR: "!!", Level.WARNING: " !", Level.NOTE: " i", None: "  "}
# Blue and yellow are told apart, in sixteen colours too, with every kind of colour vision; the signs and words say the same.
_STYLES = {Level.ERROR: "bold yellow", Level.WARNING: "yellow", Level.NOTE: "blue", None: ""}
_SHOWN_NAMES = 6


def print_review(console: Console, review: Review, *, diff: bool) -> None:
    """Print what changes, nodes with the same findings together; ``diff`` shows what each finding is made of."""
    console.print(Text(headline(review), "bold"))
    for risk, count in review.risks.items():
        line = Text(f"{risk.value} ×{count}", _STYLES[risk.level])
        line.append(f"  {risk.about.title}", "not bold default")
        _hang(console, Text(SIGNS[risk.level], _STYLES[risk.level]), line)
    for nodes, findings in review.alike():
        console.print()
        console.print(Text(title(nodes), "bold"), soft_wrap=True)
        for area, members in groupby(findings, lambda finding: finding.area):
            console.print(Text(f"  {area.value}", "blue"))
            for finding in members:
                _print(console, finding, diff=diff)
    if review.same and len(review.same) < len(review.nodes):
        console.print()
        console.print(f"nothing changes on {names(review.same)}", soft_wrap=True)


def _print(console: Console, finding: Finding, *, diff: bool) -> None:
    style = _STYLES[finding.level]
    line = Text(printable(str(finding)), style)
    if finding.risks:
        line.append(f" [{', '.join(risk.value for risk in finding.risks)}]")
    if place := where(finding):
        line.append(f"  {place}", "not bold bright_black")
    _hang(console, Text(f"  {SIGNS[finding.level]}", style), line)
    for detail in finding.detail if diff else ():
        _hang(console, Text("       "), Text(printable(detail), "bright_black"))


def _hang(console: Console, sign: Text, line: Text) -> None:
    """Print a line behind its sign; a terminal wraps it there, a pipe gets it whole."""
    if not console.is_terminal:
        console.print(Text(" ").join((sign, line)), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(sign, line)
    console.print(table, soft_wrap=False)


def headline(review: Review) -> str:
    """Return ``main..HEAD: 2 of 20 nodes change``."""
    changed = sum(node.state is not State.SAME for node in review.nodes)
    span = f"{review.old}..{review.new}"
    if not changed:
        return f"{span}: nothing changes on {_count(len(review.nodes))}"
    verb = "changes" if changed == 1 else "change"
    risks = sum(review.risks.values())
    told = f"{risks} risk{'' if risks == 1 else 's'}" if risks else "no risk seen"
    return f"{span}: {changed} of {_count(len(review.nodes))} {verb}, {told}"


def title(nodes: Sequence[NodeReview]) -> str:
    """Return the nodes' names, with what became of them where they are not simply changed."""
    state = nodes[0].state
    shown = names([node.name for node in nodes])
    return shown if state is State.CHANGED else f"{shown} ({state.value})"


def names(nodes: Sequence[str]) -> str:
    """Return node names in a row, the first few of many."""
    shown = ", ".join(nodes[:_SHOWN_NAMES])
    return shown if len(nodes) <= _SHOWN_NAMES else f"{shown} and {len(nodes) - _SHOWN_NAMES} more"


def where(finding: Finding) -> str:
    """Return ``file:line`` of a finding, "" where nobody wrote it in a file."""
    mark = finding.mark
    if mark is None or mark.file.startswith(("-", "/")) or not mark.line:
        return ""  # the command line's, or one of the packaged defaults
    return f"{mark.file}:{mark.line}{' (before)' if finding.gone else ''}"


def in_repository(finding: Finding, folder: str) -> str:
    """Return the path of a finding's file from the top of the repository; ``folder`` is the site's there."""
    assert finding.mark is not None
    return normpath(f"{folder}/{finding.mark.file}" if folder else finding.mark.file)


def _count(nodes: int) -> str:
    return f"{nodes} node{'' if nodes == 1 else 's'}"


def as_json(review: Review) -> dict[str, Any]:
    """Return the review as JSON-ready objects; ``risks`` has each risk's id, level and number of findings."""
    return {
        "old": review.old,
        "new": review.new,
        "nodes": {
            node.name: {"state": node.state.value, "findings": list(_findings(node))} for node in review.nodes
        },
        "risks": {
            risk.value: {"level": risk.level.value, "findings": count} for risk, count in review.risks.items()
        },
    }


def _findings(node: NodeReview) -> Iterator[dict[str, Any]]:
    for finding in node.findings:
        mark = finding.mark
        yield {
            "area": finding.area.value,
            "subject": finding.subject,
            "text": finding.text,
            "risks": [risk.value for risk in finding.risks],
            "level": finding.level.value if finding.level else None,
            "file": mark.file if mark else None,
            "line": mark.line if mark else None,
            "revision": "old" if finding.gone else "new",
            "detail": list(finding.detail),
        }
