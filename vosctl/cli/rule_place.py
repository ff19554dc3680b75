"""Where the YAML behind a compiled rule stands, as people are told it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from vosctl.site.variables.layers import defaults
from vosctl.site.written import Places


def rule_place(places: Places, node: str) -> Callable[[str], str]:
    """Return a function that gives ``file:line`` for each part of a rule's path (``a.b, c``), the path where unknown."""

    @cache
    def place(path: str) -> str:
        found = []
        for part in path.split(", "):
            mark = places.find(node, part)
            found.append(part if mark is None else f"{_shown(mark.file)}:{mark.line}")
        return ", ".join(dict.fromkeys(found))

    return place


def _shown(file: str) -> str:
    return "vosctl's defaults" if file == defaults().mark.file else file
