"""YAML as a tree of values that remember where they were written."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any, TypeAlias

from msgspec import Struct


class Mark(Struct, frozen=True, order=True):
    """A place in a source file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Scalar(Struct, frozen=True, eq=False):
    """One YAML scalar: the value YAML 1.2 core would give it, and the text as written.

    ``value`` is str, int, bool or None for a plain scalar (floats stay text, as ``value == text``,
    with ``number`` set: money is parsed from the text, never from a binary float). ``sealed`` ones
    were encrypted: nobody may quote them.
    """

    value: str | int | bool | None
    text: str
    quoted: bool
    mark: Mark
    number: bool = False
    sealed: bool = False

    def __repr__(self) -> str:
        return f"Scalar({'<secret>' if self.sealed else repr(self.text)}, {self.mark})"


class Sequence(Struct, frozen=True, eq=False):
    """A YAML list."""

    items: tuple[Value, ...]
    mark: Mark


class Mapping(Struct, frozen=True, eq=False):
    """A YAML mapping with string keys; ``key_marks`` says where each key stands."""

    items: MappingABC[str, Value]
    key_marks: MappingABC[str, Mark]
    mark: Mark

    def get(self, key: str) -> Value | None:
        """Return the value under ``key``, or None."""
        return self.items.get(key)


Value: TypeAlias = Scalar | Sequence | Mapping


def plain(value: Value, *, sealed: bool = True) -> Any:
    """Return the value as plain dicts, lists and scalars (for schema validation and templates).

    Without ``sealed``, entries whose value was encrypted are left out.
    """
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Sequence):
        return [plain(item, sealed=sealed) for item in value.items if sealed or not is_sealed(item)]
    return {
        key: plain(item, sealed=sealed) for key, item in value.items.items() if sealed or not is_sealed(item)
    }


def is_sealed(value: Value | None) -> bool:
    """Return whether a value was encrypted."""
    return isinstance(value, Scalar) and value.sealed


def at(value: Value, path: tuple[str | int, ...]) -> Value | None:
    """Return the value at ``path`` (mapping keys and list indexes), or None where there is none."""
    for step in path:
        inside: Value | None = None
        if isinstance(value, Mapping) and isinstance(step, str):
            inside = value.items.get(step)
        elif isinstance(value, Sequence) and isinstance(step, int) and step < len(value.items):
            inside = value.items[step]
        if inside is None:
            return None
        value = inside
    return value
