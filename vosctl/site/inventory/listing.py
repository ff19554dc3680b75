"""Reads what an executable inventory prints, Ansible's ``--list`` JSON, into the inventory's graph."""

from __future__ import annotations

from vosctl.site.inventory.graph import ALL, Graph
from vosctl.site.inventory.hosts import add_hosts, check_group_name
from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value
from vosctl.site.variables.source import variables

META = "_meta"


def read_listing(tree: Mapping, graph: Graph, problems: Problems) -> tuple[str, ...]:
    """Add groups, hosts and ``_meta.hostvars`` to ``graph``; what has the wrong shape is a problem.

    Returns the hosts whose variables must be asked for one by one: none where there are hostvars.
    """
    reader = _Reader(graph, problems)
    for name, body in tree.items.items():
        if name != META:
            reader.group(name, tree.key_marks[name], body)
    meta = tree.get(META)
    told = meta.get("hostvars") if isinstance(meta, Mapping) else None
    if told is None:
        return tuple(reader.found)
    if isinstance(told, Mapping):
        for host, values in told.items.items():
            read_host_vars(host, told.key_marks[host], values, graph, problems)
    else:
        reader.misshapen("_meta.hostvars", told.mark, "must be an object: host names to variables")
    return ()


def read_host_vars(host: str, mark: Mark, values: Value, graph: Graph, problems: Problems) -> None:
    """Add the variables of one host; a host that no group has is made, in ``all``."""
    if host not in graph.hosts:
        graph.group(ALL, mark)
        add_hosts(host, mark, ALL, graph, problems)
    draft = graph.hosts.get(host)
    source = variables(f"host {host}", values, problems)
    if source is not None and draft is not None:
        draft.inline.append(source)


class _Reader:
    def __init__(self, graph: Graph, problems: Problems) -> None:
        self.found: dict[str, None] = {}
        self._graph = graph
        self._problems = problems

    def group(self, name: str, mark: Mark, body: Value) -> None:
        if not check_group_name(name, mark, self._graph, self._problems):
            return
        group = self._graph.group(name, mark)
        if isinstance(body, Sequence):
            body = Mapping({"hosts": body}, {"hosts": mark}, mark)
        if not isinstance(body, Mapping):
            self.misshapen(
                name, body.mark, "a group is a list of hosts, or an object with hosts, children and vars"
            )
            return
        for host, place in self._names(name, "hosts", body):
            self.found |= dict.fromkeys(add_hosts(host, place, name, self._graph, self._problems))
        for child, place in self._names(name, "children", body):
            if child != ALL and check_group_name(child, place, self._graph, self._problems):
                self._graph.group(child, place)
                group.children.setdefault(child, place)
        source = variables(f"group {name}", body.get("vars"), self._problems)
        if source is not None:
            group.inline.append(source)

    def misshapen(self, path: str, mark: Mark, message: str) -> None:
        self._graph.complete = False
        self._problems.error("inventory-program", message, mark, path=path,
                             hint="see what the program prints with --list")  # fmt: skip

    def _names(self, group: str, kind: str, body: Mapping) -> list[tuple[str, Mark]]:
        value = body.get(kind)
        if isinstance(value, Mapping):
            return list(value.key_marks.items())
        items = value.items if isinstance(value, Sequence) else ()
        names = [(item.text, item.mark) for item in items if isinstance(item, Scalar) and item.quoted]
        if len(names) < len(items) or not (value is None or isinstance(value, Sequence) or _is_null(value)):
            self.misshapen(f"{group}.{kind}", value.mark if value else body.mark, "must be a list of names")
        return names


def _is_null(value: Value) -> bool:
    return isinstance(value, Scalar) and value.value is None
