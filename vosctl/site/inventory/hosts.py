"""Reads a hosts file in Ansible's YAML shape into the inventory's graph."""

from __future__ import annotations

import re

from vosctl.site.inventory.graph import ALL, Graph
from vosctl.site.inventory.ranges import expand
from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, Mark, Scalar, Value
from vosctl.site.variables.source import Source, variables

_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def read_hosts(tree: Value, graph: Graph, problems: Problems) -> None:
    """Add what a hosts file says to ``graph``.

    Bad names and ranges are problems; what has the wrong shape is left to the schema ``hosts.json``.
    """
    if isinstance(tree, Mapping):
        reader = _Reader(graph, problems)
        for name, mark, below in _entries(tree):
            reader.group(name, mark, below)


def check_group_name(name: str, mark: Mark, graph: Graph, problems: Problems) -> bool:
    """Return whether ``name`` can name a group; if not, that is a problem."""
    if _GROUP.fullmatch(name):
        return True
    graph.complete = False
    problems.error("inventory-group-name", f"{name!r} is no group name", mark,
                   hint="use letters, digits, hyphens and underscores, a letter first")  # fmt: skip
    return False


def add_hosts(text: str, mark: Mark, group: str, graph: Graph, problems: Problems) -> tuple[str, ...]:
    """Put the hosts that a name or range stands for into ``group`` and return them; a bad range is a problem."""
    try:
        names, port = expand(text)
    except ValueError as error:
        graph.complete = False
        problems.error("inventory-host-name", str(error), mark, path=text,
                       hint="write a name or address, or a range as edge-[01:20]")  # fmt: skip
        return ()
    for name in names:
        draft = graph.host(name, mark)
        graph.groups[group].hosts.setdefault(name, mark)
        if port is not None:
            scalar = Scalar(port, str(port), False, mark)
            draft.inline.append(
                Source(f"host {name}", Mapping({"port": scalar}, {"port": mark}, mark), inline=True)
            )
    return names


class _Reader:
    def __init__(self, graph: Graph, problems: Problems) -> None:
        self._graph = graph
        self._problems = problems

    def group(self, name: str, mark: Mark, body: Value) -> None:
        if not check_group_name(name, mark, self._graph, self._problems):
            return
        group = self._graph.group(name, mark)
        if not isinstance(body, Mapping):
            return
        for host, host_mark, below in _entries(body.get("hosts")):
            self._hosts(name, host, host_mark, below)
        for child, child_mark, below in _entries(body.get("children")):
            self.group(child, child_mark, below)
            if child == ALL:
                self._problems.error("inventory-cycle", "all holds every group and is in none", child_mark,
                                     hint="take all out of the children")  # fmt: skip
            elif child in self._graph.groups:
                group.children.setdefault(child, child_mark)
        source = variables(f"group {name}", body.get("vars"), self._problems, inline=True)
        if source is not None:
            group.inline.append(source)

    def _hosts(self, group: str, text: str, mark: Mark, body: Value) -> None:
        names = add_hosts(text, mark, group, self._graph, self._problems)
        source = variables(f"host {text}", body, self._problems, inline=True)
        if source is not None:
            for name in names:
                self._graph.hosts[name].inline.append(source)


def _entries(value: Value | None) -> list[tuple[str, Mark, Value]]:
    if not isinstance(value, Mapping):
        return []
    return [(key, value.key_marks[key], item) for key, item in value.items.items()]
