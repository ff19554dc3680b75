"""A plan as GitHub-flavoured Markdown, for merge requests and chat."""

from __future__ import annotations

import re

from vosctl.plan.change import Change, Held, Plan
from vosctl.plan.printable import printable
from vosctl.plan.text import summary


def render(plan: Plan, *, diff: bool = True) -> str:
    """Return the plan as a heading, a table of changes, the held items and folded diffs."""
    lines = [f"### `{plan.node}`: {summary(plan)}", ""]
    if plan.refusal:
        lines += [f"> **Refused**: {_cell(plan.refusal)}", ""]
    if plan.changes:
        lines += ["| what | name | action | note |", "|---|---|---|---|"]
        lines += [_row(change) for change in plan.changes]
        lines.append("")
    if plan.held:
        lines += ["| held | name | reason |", "|---|---|---|"]
        lines += [_held_row(held) for held in plan.held]
        lines.append("")
    if diff:
        for change in plan.changes:
            lines += _folded(change)
    return "\n".join(lines)


def _row(change: Change) -> str:
    notes = [_cell(change.detail)] if change.detail else []
    if change.drift:
        notes.append("moved on the node")
    if change.risk:
        notes.append(f"**{change.risk.value}**")
    return f"| {change.kind.value} | {_code(change.name)} | {change.action.value} | {', '.join(notes)} |"


def _held_row(held: Held) -> str:
    reason = f"**impossible**: {_cell(held.reason)}" if held.fatal else _cell(held.reason)
    return f"| {held.kind.value} | {_code(held.name)} | {reason} |"


def _folded(change: Change) -> list[str]:
    if not change.diff:
        return []
    body = [printable(line) for line in change.diff]
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    title = f"<details><summary>{change.kind.value} <code>{_html(change.name)}</code></summary>"
    return [title, "", f"{fence}diff", *body, fence, "", "</details>", ""]


def _code(text: str) -> str:
    return f"<code>{_html(text).replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    return _html(text).replace("|", "&#124;")


def _html(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
