"""Remembers results by the identity of their inputs: nodes of one site share most of their objects."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """One compile run's memory. It keeps the inputs alive, so that no identity is ever given out twice."""

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[tuple[object, ...], Any]] = {}

    def once(self, make: Callable[[], T], *values: Hashable, objects: Iterable[object]) -> T:
        """Return what ``make`` returned the first time for these equal ``values`` and identical ``objects``."""
        held = tuple(objects)
        key = (*values, *map(id, held))
        if key not in self._found:
            self._found[key] = (held, make())
        result: T = self._found[key][1]
        return result

    def equal(self, make: Callable[[], T], *values: Hashable, to: object) -> T:
        """Return what ``make`` returned for an object equal ``to`` this one and the same ``values``."""
        known: list[tuple[object, T]] = self._found.setdefault(("equal", *values), ((), []))[1]
        for earlier, result in known:
            if earlier == to:
                return result
        known.append((to, make()))
        return known[-1][1]
