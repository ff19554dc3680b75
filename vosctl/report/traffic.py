"""What a change does to the traffic of nodes, in words: newly accepted, newly dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Effects:
    """One node: whether it is new or gone, and the traffic whose fate is another."""

    new: bool = False
    gone: bool = False
    traffic: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Return ``new``, ``gone``, ``changed`` or ``same``."""
        return "new" if self.new else "gone" if self.gone else "changed" if self.traffic else "same"


def print_effects(console: Console, found: Mapping[str, Effects]) -> None:
    """Print the nodes whose traffic changes with every change, then the others in one line."""
    for name, node in found.items():
        if node.state == "same":
            continue
        console.print(Text(name, "bold") if node.traffic else Text(f"{name}: {node.state}"))
        for line in node.traffic:
            console.print(Text(f"  {line}", _style(line)))
    same = [name for name, node in found.items() if node.state == "same"]
    if same:
        console.print(f"traffic stays the same on {', '.join(same)}")


def as_json(found: Mapping[str, Effects]) -> dict[str, Any]:
    """Return each node's state and traffic."""
    return {name: {"state": node.state, "traffic": list(node.traffic)} for name, node in found.items()}


def _style(line: str) -> str:
    return "green" if ": now accepted" in line else "yellow" if ": now left" in line else "red"
