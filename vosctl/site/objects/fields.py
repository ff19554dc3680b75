"""Typed access to a mapping of the tree: wrong shapes read as absent, for the schema has said them already."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from vosctl.site.objects.scalars import WrongValueError
from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value

T = TypeVar("T")

EMPTY = Mapping({}, {}, Mark("", 0, 0))


class Fields(Struct, frozen=True):
    """One mapping with its path in the variables, and where its problems go."""

    tree: Mapping
    path: str
    problems: Problems

    def __contains__(self, key: str) -> bool:
        value = self.tree.items.get(key)
        return value is not None and not (isinstance(value, Scalar) and value.value is None)

    def mark(self, key: str) -> Mark:
        """Return where the value of ``key`` stands, or where the mapping does."""
        value = self.tree.items.get(key)
        return self.tree.mark if value is None else value.mark

    def at(self, key: str) -> str:
        """Return the path of ``key``."""
        return f"{self.path}.{key}" if self.path else key

    def below(self, key: str) -> Fields:
        """Return the mapping under ``key``; an empty one where there is none."""
        value = self.tree.items.get(key)
        tree = value if isinstance(value, Mapping) else EMPTY
        return Fields(tree, self.at(key), self.problems)

    def text(self, key: str) -> str | None:
        """Return the text under ``key``."""
        value = self.tree.items.get(key)
        return value.value if isinstance(value, Scalar) and isinstance(value.value, str) else None

    def integer(self, key: str) -> int | None:
        """Return the whole number under ``key``."""
        value = self.tree.items.get(key)
        return value.value if isinstance(value, Scalar) and type(value.value) is int else None

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return the truth value under ``key``."""
        value = self.tree.items.get(key)
        return value.value if isinstance(value, Scalar) and isinstance(value.value, bool) else default

    def parsed(self, key: str, parse: Callable[[Scalar], T]) -> T | None:
        """Return what ``parse`` makes of the scalar under ``key``; its complaint becomes a problem."""
        value = self.tree.items.get(key)
        if not isinstance(value, Scalar) or value.value is None or isinstance(value.value, bool):
            return None
        return self._parse(value, self.at(key), parse)

    def scalars(self, key: str) -> Iterator[tuple[str, Scalar]]:
        """Yield path and scalar of each list item under ``key``; null and other shapes are left out."""
        value = self.tree.items.get(key)
        if not isinstance(value, Sequence):
            return
        path = self.at(key)
        for index, item in enumerate(value.items):
            if isinstance(item, Scalar) and item.value is not None:
                yield f"{path}[{index}]", item

    def listed_mappings(self, key: str) -> Iterator[Fields]:
        """Yield each mapping of the list under ``key``."""
        value = self.tree.items.get(key)
        for index, item in enumerate(value.items if isinstance(value, Sequence) else ()):
            if isinstance(item, Mapping):
                yield Fields(item, f"{self.at(key)}[{index}]", self.problems)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of the list under ``key``."""
        return tuple(item.value for _, item in self.scalars(key) if isinstance(item.value, str))

    def integers(self, key: str) -> tuple[int, ...]:
        """Return the whole numbers of the list under ``key``."""
        return tuple(item.value for _, item in self.scalars(key) if type(item.value) is int)

    def all_parsed(self, key: str, parse: Callable[[Scalar], T]) -> tuple[T, ...]:
        """Return what ``parse`` makes of each list item under ``key``, the wrong ones left out."""
        found = (self._parse(item, path, parse) for path, item in self.scalars(key))
        return tuple(item for item in found if item is not None)

    def entries(self) -> Iterator[tuple[str, Fields]]:
        """Yield name and mapping of each entry that is a mapping."""
        for name, value in self.tree.items.items():
            if isinstance(value, Mapping):
                yield name, Fields(value, self.at(name), self.problems)

    def error(self, rule: str, message: str, *, key: str | None = None, hint: str = "") -> None:
        """Add an error at the value of ``key``, or at the mapping."""
        mark = self.tree.mark if key is None else self.mark(key)
        path = self.path if key is None else self.at(key)
        self.problems.error(rule, message, mark, path=path, hint=hint)

    def warn(self, rule: str, message: str, *, key: str | None = None, hint: str = "") -> None:
        """Add a warning at the value of ``key``, or at the mapping."""
        mark = self.tree.mark if key is None else self.mark(key)
        path = self.path if key is None else self.at(key)
        self.problems.warn(rule, message, mark, path=path, hint=hint)

    def _parse(self, value: Scalar, path: str, parse: Callable[[Scalar], T]) -> T | None:
        try:
            return parse(value)
        except WrongValueError as wrong:
            if value.sealed:  # what is wrong quotes the value
                self.problems.error(wrong.rule, "the encrypted value does not fit here", value.mark, path=path,
                                    hint=f"see it with: vosctl vault view {value.mark.file}")  # fmt: skip
                return None
            self.problems.error(wrong.rule, wrong.message, value.mark, path=path, hint=wrong.hint)
            return None


class Workshop(Struct):
    """What all builders of one run share: problems, the site's folder and objects made before.

    Nodes that did not touch a value share its tree, so the object made of it is shared too: a
    thousand gateways of twenty nodes are parsed a thousand times.
    """

    problems: Problems
    folder: Path
    _made: dict[Hashable, tuple[object, Any]] = field(default_factory=dict)

    def once(
        self, kind: str, sources: tuple[object, ...], make: Callable[[], T], *, values: Hashable = ()
    ) -> T:
        """Return the object made of these sources and values, making it the first time.

        Sources are compared by identity, values by equality.
        """
        key = (kind, values, *map(id, sources))
        known = self._made.get(key)
        if known is None:
            known = self._made[key] = sources, make()  # the sources stay alive, or ids would be reused
        return cast("T", known[1])

    def fields(self, tree: Value | None, path: str) -> Fields:
        """Return ``tree`` as fields; anything but a mapping has none."""
        return Fields(tree if isinstance(tree, Mapping) else EMPTY, path, self.problems)
