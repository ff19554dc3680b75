"""Collects what cross checks find: a finding that several nodes share is said once, with their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct, field

from vosctl.site.model import Node
from vosctl.site.objects.site import Built
from vosctl.site.places import joined, mark_of
from vosctl.site.problems import Problem, Problems, Severity
from vosctl.site.suggest import listed
from vosctl.site.tree import Mark
from vosctl.site.variables.layers import defaults

Check = Callable[["Findings"], None]


class Findings(Struct):
    """The built site, and the findings so far."""

    built: Built
    problems: Problems
    _by_node: dict[Problem, list[str]] = field(default_factory=dict)

    def nodes(self) -> Iterator[Node]:
        """Yield every node."""
        yield from self.built.site.nodes.values()

    def place(self, node: Node, *path: str) -> Mark:
        """Return where a node's variable was written; for a packaged default, where the node is named."""
        mark = mark_of(self.built.fields[node.name].tree, path)
        return node.mark if mark.file in ("", defaults().mark.file) else mark

    def error(
        self, node: Node, rule: str, message: str, *path: str, hint: str = "", named: bool = True
    ) -> None:
        """Add an error at the node's variable ``path``; its message ends with its nodes if ``named``."""
        self._add(node, Problem(rule, message, self.place(node, *path), joined(path), hint), named=named)

    def warn(
        self, node: Node, rule: str, message: str, *path: str, hint: str = "", named: bool = True
    ) -> None:
        """Add a warning, as ``error`` does."""
        mark = self.place(node, *path)
        self._add(node, Problem(rule, message, mark, joined(path), hint, Severity.WARNING), named=named)

    def finish(self) -> None:
        """Hand the findings of nodes over to the problems, each with the names of its nodes."""
        for found, nodes in self._by_node.items():
            message = f"{found.message} (on {listed(nodes, most=3)})"
            self.problems.found.append(
                Problem(found.rule, message, found.mark, found.path, found.hint, found.severity)
            )
        self._by_node.clear()

    def _add(self, node: Node, found: Problem, *, named: bool) -> None:
        if named:
            self._by_node.setdefault(found, []).append(node.name)
        else:
            self.problems.found.append(found)
