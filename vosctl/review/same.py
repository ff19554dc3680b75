"""Whether two parts of two sites say the same, wherever in the files it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from vosctl.site.model import Node, Site
from vosctl.site.tree import Mark


class Sameness:
    """Compares objects of two sites and remembers; places in files, and the order of mappings, do not count.

    It remembers by identity, and keeps what it saw alive, so that no identity is given out twice.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[bool, Any, Any]] = {}

    def __call__(self, old: Any, new: Any) -> bool:
        """Return whether the two say the same."""
        if old is new or (isinstance(old, Mark) and isinstance(new, Mark)):
            return True
        if type(old) is not type(new):
            return False
        if isinstance(old, (Mapping, Struct)):
            return self._once(old, new)
        if isinstance(old, tuple):
            return len(old) == len(new) and all(map(self, old, new))
        return bool(old == new)

    def _once(self, old: Any, new: Any) -> bool:
        key = id(old), id(new)
        if key not in self._known:
            found = self._mappings(old, new) if isinstance(old, Mapping) else self._fields(old, new)
            self._known[key] = found, old, new
        return self._known[key][0]

    def _mappings(self, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> bool:
        return old.keys() == new.keys() and all(self(old[name], new[name]) for name in old)

    def _fields(self, old: Any, new: Any) -> bool:
        return all(self(getattr(old, name), getattr(new, name)) for name in old.__struct_fields__)


def affected(old: Site, new: Site, same: Sameness) -> list[str]:
    """Return the nodes in both sites that may compile to something else: they, or a trunk's other end, changed.

    A node's wanted state depends on nothing else, so all others need not be compiled at all.
    """
    both = [name for name in new.nodes if name in old.nodes]
    moved = {name for name in both if not same(old.nodes[name], new.nodes[name])}
    moved |= {*old.nodes} ^ {*new.nodes}
    chosen = {*old.selected} & {*new.selected}
    return [
        name for name in both if name in chosen and ({name} | _peers(old, name) | _peers(new, name)) & moved
    ]


def _peers(site: Site, name: str) -> set[str]:
    node: Node = site.nodes[name]
    return {trunk.other(name) for trunk in node.trunks.values()}
