"""A plan as text for a terminal: one line a change, its diff below it."""

from __future__ import annotations

from collections import Counter

from vosctl.plan.change import Action, Change, Plan
from vosctl.plan.printable import printable

SIGNS = {
    Action.CREATE: "+",
    Action.INSTALL: "+",
    Action.LOAD: "+",
    Action.START: "+",
    Action.ENABLE: "+",
    Action.REMOVE: "-",
    Action.STOP: "-",
    Action.DISABLE: "-",
}


def render(plan: Plan, *, diff: bool = True, held: bool = True) -> str:
    """Return the plan as lines of text; a plan with nothing to do is one line that says so.

    Without ``held`` items that are somebody else's are only counted; impossible ones are always told.
    Control characters, which a node's files could carry to the terminal, are escaped.
    """
    lines = [f"{plan.node}: {summary(plan)}"]
    for change in plan.changes:
        lines.append(f"  {headline(change)}")
        if diff:
            lines.extend(f"      {printable(line)}".rstrip() for line in change.diff)
    lines.extend(f"  {line}" for line in held_lines(plan, every=held))
    if plan.refusal:
        lines.append(f"  refused: {printable(plan.refusal)}")
    return "\n".join(lines) + "\n"


def summary(plan: Plan) -> str:
    """Return the plan in a few words: ``2 files, 1 ruleset to change, 1 moved on the node, 1 held``."""
    kinds = Counter(change.kind.value for change in plan.changes)
    counted = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in kinds.items())
    words = [f"{counted} to change" if counted else "no change"]
    if plan.drift:
        words.append(f"{len(plan.drift)} moved on the node")
    impossible = len(plan.impossible)
    if impossible:
        words.append(f"{impossible} impossible")
    if len(plan.held) > impossible:
        words.append(f"{len(plan.held) - impossible} held")
    return ", ".join(words)


def headline(change: Change) -> str:
    """Return one change as a line without its diff."""
    parts = [
        SIGNS.get(change.action, "~"),
        f"{change.kind.value:<8}",
        printable(change.name),
        change.action.value,
    ]
    if change.detail:
        parts.append(f"({printable(change.detail)})")
    if change.drift:
        parts.append("[moved on the node]")
    if change.risk:
        parts.append(f"[{change.risk.value}]")
    return " ".join(parts)


def held_lines(plan: Plan, *, every: bool = True) -> list[str]:
    """Return the held items (or only the impossible ones), those of one kind and reason on one line."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for held in plan.held if every else plan.impossible:
        groups.setdefault((held.kind.value, held.reason, held.fatal), []).append(held.name)
    return [
        f"{'!' if fatal else '.'} {kind:<8} {printable(', '.join(names))} "
        f"{'impossible' if fatal else 'held'}: {printable(reason)}"
        for (kind, reason, fatal), names in groups.items()
    ]
