"""What a review is made of: findings, by node."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from vosctl.plan.risk import Level, Risk
from vosctl.site.tree import Mark


class Area(Enum):
    """What a finding is about, in the order in which reviews tell it."""

    NODE = "node"
    TRAFFIC = "traffic"
    GATEWAY = "gateway"
    TRUNK = "trunk"
    KEY = "key"
    RATES = "rates"
    SETTING = "setting"
    SYSCTL = "sysctl"
    SERVICE = "service"
    PACKAGE = "package"
    FILE = "file"


class State(Enum):
    """What became of a node between the two revisions."""

    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    SAME = "same"


class Finding(Struct, frozen=True):
    """One thing that changes: what it is about, in words, and why to look twice.

    ``mark`` is the line that says it, in the new revision, or in the old one with ``gone``;
    ``detail`` is a unified diff or further lines, secrets already masked.
    """

    area: Area
    subject: str
    text: str
    risks: tuple[Risk, ...] = ()
    mark: Mark | None = None
    gone: bool = False
    detail: tuple[str, ...] = ()

    @property
    def level(self) -> Level | None:
        """The gravest of its risks, None where it has none."""
        levels = {risk.level for risk in self.risks}
        return next((level for level in Level if level in levels), None)

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text


class NodeReview(Struct, frozen=True):
    """One node: what became of it, and all that changes for it."""

    name: str
    state: State
    findings: tuple[Finding, ...] = ()


class Review(Struct, frozen=True):
    """Two revisions of a site held against each other; ``old`` and ``new`` are what the operator calls them."""

    old: str
    new: str
    nodes: tuple[NodeReview, ...]

    @property
    def risks(self) -> dict[Risk, int]:
        """Return how many findings, each counted once, carry each risk; the gravest risks first."""
        unique = {replace(each, detail=()) for node in self.nodes for each in node.findings}
        counts = {risk: sum(risk in finding.risks for finding in unique) for risk in Risk}
        levels = list(Level)
        found = [risk for risk in Risk if counts[risk]]
        return {risk: counts[risk] for risk in sorted(found, key=lambda risk: levels.index(risk.level))}

    def alike(self) -> Iterator[tuple[tuple[NodeReview, ...], tuple[Finding, ...]]]:
        """Yield the nodes that change, those with the same findings together.

        What findings are made of may differ by the nodes' own addresses: ``detail`` is the first node's.
        """
        groups: dict[tuple[State, tuple[Finding, ...]], list[NodeReview]] = {}
        for node in self.nodes:
            if node.state is not State.SAME:
                key = node.state, tuple(replace(each, detail=()) for each in node.findings)
                groups.setdefault(key, []).append(node)
        for nodes in groups.values():
            yield tuple(nodes), nodes[0].findings

    @property
    def same(self) -> tuple[str, ...]:
        """The nodes for which nothing changes."""
        return tuple(node.name for node in self.nodes if node.state is State.SAME)
