"""The inventory while it is read: groups and hosts that several files may speak of."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from vosctl.site.problems import Problems
from vosctl.site.tree import Mark
from vosctl.site.variables.source import Source

ALL = "all"
UNGROUPED = "ungrouped"


class Draft(Struct):
    """A group or host so far; ``inline`` variables come from hosts files, ``files`` from vars files."""

    mark: Mark
    inline: list[Source] = field(default_factory=list)
    files: list[Source] = field(default_factory=list)


class GroupDraft(Draft):
    """A group so far; hosts and children with the place that put them in."""

    hosts: dict[str, Mark] = field(default_factory=dict)
    children: dict[str, Mark] = field(default_factory=dict)


class Graph:
    """Groups and hosts with their edges; ``close`` makes it a tree under ``all`` without cycles.

    ``complete`` is for the readers to clear when something could not be read.
    """

    def __init__(self, problems: Problems) -> None:
        self.groups: dict[str, GroupDraft] = {}
        self.hosts: dict[str, Draft] = {}
        self.complete = True
        self._problems = problems

    def group(self, name: str, mark: Mark) -> GroupDraft:
        """Return the group of that name, made at ``mark`` if it is new."""
        return self.groups.setdefault(name, GroupDraft(mark))

    def host(self, name: str, mark: Mark) -> Draft:
        """Return the host of that name, made at ``mark`` if it is new."""
        return self.hosts.setdefault(name, Draft(mark))

    def close(self) -> None:
        """Cut cycles, put hosts without a group into ``ungrouped`` and groups without a parent into ``all``."""
        start = Mark("inventory", 1, 1)
        everything = self.group(ALL, start)
        ungrouped = self.group(UNGROUPED, everything.mark)
        self._cut_cycles()
        grouped = {
            host
            for name, group in self.groups.items()
            if name not in (ALL, UNGROUPED)
            for host in group.hosts
        }
        ungrouped.hosts |= {name: host.mark for name, host in self.hosts.items() if name not in grouped}
        below = {child for group in self.groups.values() for child in group.children}
        for name, group in self.groups.items():
            if name != ALL and name not in below:
                everything.children.setdefault(name, group.mark)
        for name in self.hosts.keys() & self.groups.keys():
            self._problems.warn("inventory-name-clash", f"{name} is both a host and a group", self.hosts[name].mark,
                                hint="give one of them another name: patterns take the group")  # fmt: skip

    def depths(self) -> dict[str, int]:
        """Return for each group the longest way to it from ``all``."""
        parents: dict[str, list[str]] = {name: [] for name in self.groups}
        for name, group in self.groups.items():
            for child in group.children:
                parents[child].append(name)
        depths: dict[str, int] = {}
        for name in reversed(self._children_first()):
            depths[name] = max((depths[parent] + 1 for parent in parents[name]), default=0)
        return depths

    def members(self) -> dict[str, tuple[str, ...]]:
        """Return for each group its own hosts, then its children's, level by level as Ansible counts them."""
        return {name: tuple(dict.fromkeys(self._members(name))) for name in self.groups}

    def _members(self, name: str) -> Iterator[str]:
        below = {name: None}
        while below:
            level = [self.groups[group] for group in below]
            for group in level:
                yield from group.hosts
            below = dict.fromkeys(child for group in level for child in group.children)

    def _cut_cycles(self) -> None:
        finished: set[str] = set()
        for root in [ALL, *self.groups]:
            self._walk(root, finished, cut=True)

    def _children_first(self) -> list[str]:
        finished: dict[str, None] = {}
        for root in self.groups:
            self._walk(root, finished, cut=False)
        return list(finished)

    def _walk(self, root: str, finished: set[str] | dict[str, None], *, cut: bool) -> None:
        """Add ``root`` and all below it to ``finished``, children first; with ``cut``, drop edges that close a cycle."""
        if root in finished:
            return
        way = [root]
        rest = [list(self.groups[root].children)]
        while way:
            if not rest[-1]:
                rest.pop()
                done = way.pop()
                finished.add(done) if isinstance(finished, set) else finished.setdefault(done)
                continue
            child = rest[-1].pop(0)
            if child in way:
                if cut:
                    self._report_cycle(way, child)
            elif child not in finished:
                way.append(child)
                rest.append(list(self.groups[child].children))

    def _report_cycle(self, way: list[str], child: str) -> None:
        mark = self.groups[way[-1]].children.pop(child)
        circle = " > ".join([*way[way.index(child) :], child])
        self._problems.error("inventory-cycle", f"the group {child} is inside itself: {circle}", mark,
                             hint=f"take {child} out of the children of {way[-1]}")  # fmt: skip
