"""How old the keys are that new calls use, and which are due by the site's ``keys.max_age``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from vosctl.rotation.choose import KEYED, age_of, told_age
from vosctl.site.model import Node, Site, Trunk


def ages_of(node: Node, moment: datetime) -> dict[str, dict[str, Any]]:
    """Return by trunk of a node: ``key``, ``age_days`` (None where nobody wrote when it was made), ``due``."""
    return {trunk.name: age_tree(trunk, moment) for trunk in _keyed([node])}


def age_tree(trunk: Trunk, moment: datetime) -> dict[str, Any]:
    """Return what ``ages_of`` says of one trunk."""
    age = age_of(trunk.key, moment)
    return {
        "key": trunk.key.name if trunk.key else None,
        "age_days": None if age is None else age.days,
        "due": is_due(trunk, moment),
    }


def is_due(trunk: Trunk, moment: datetime) -> bool:
    """Return whether the site wants a newer key; one of unknown age is due where it asks for ages at all."""
    age = age_of(trunk.key, moment)
    return trunk.max_age is not None and (age is None or age > trunk.max_age)


def words_of(trunk: Trunk, moment: datetime) -> str:
    """Return a trunk's key and its age, as ``ab-2026q4, 41 days old, due``."""
    due = ", due: vosctl rotate-keys " + trunk.name if is_due(trunk, moment) else ""
    return f"{trunk.key.name if trunk.key else 'none'}, {told_age(age_of(trunk.key, moment))}{due}"


def print_ages(console: Console, site: Site, moment: datetime) -> None:
    """Write a line a trunk of the selected nodes; nothing where none has a key."""
    trunks = _keyed(site.nodes[name] for name in site.selected)
    if trunks:
        console.print()
    for trunk in trunks:
        line = Text(f"trunk {trunk.name}: ", style="bold")
        line.append(words_of(trunk, moment), style="not bold yellow" if is_due(trunk, moment) else "not bold")
        console.print(line)


def _keyed(nodes: Iterable[Node]) -> list[Trunk]:
    found: Mapping[str, Trunk] = {
        trunk.name: trunk for node in nodes for trunk in node.trunks.values() if trunk.encryption in KEYED
    }
    return list(found.values())
