"""PyYAML nodes to the marked tree, with everything that the source text shows to be wrong."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vosctl.site.problems import Problems
from vosctl.site.secrets import is_secret_path
from vosctl.site.text import lint
from vosctl.site.text.compose import MAX_DEPTH, MAX_NODES
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value

_MERGE = "<<"
_resolve = lru_cache(maxsize=8192)(lint.resolve)  # a site says the same few words over and over
_resolve_key = lru_cache(maxsize=8192)(lint.resolve_key)


def convert(
    root: Node,
    display: str,
    problems: Problems,
    *,
    lines: int,
    prefix: tuple[str, ...] = (),
    sealed: Collection[int] = (),
) -> Value:
    """Return the tree of ``root``, composed from text of ``lines`` lines; marks name the file ``display``. What is wrong goes into ``problems``.

    ``prefix`` is the path at which the tree stands among the variables, ``sealed`` the ids of the
    scalar nodes that were encrypted.
    """
    return _Converter(display, problems, lines, prefix, sealed).value(root)


class _Converter:
    """One run over one file. Aliased collections become one shared object."""

    def __init__(
        self, display: str, problems: Problems, lines: int, prefix: tuple[str, ...], sealed: Collection[int]
    ) -> None:
        self._lines = lines
        self._sealed = sealed
        self._display = display
        self._problems = problems
        self._path: list[str] = list(prefix)
        self._done: dict[int, tuple[Value, int, int]] = {}
        self._busy: set[int] = set()
        self._size = 0
        self._height = 0
        self._overflowed = False

    def value(self, node: Node) -> Value:
        """Return the value of a node; afterwards _size and _height describe it with aliases written out."""
        if node.tag:
            self._tagged(node)
        if isinstance(node, ScalarNode):
            self._size = self._height = 1
            return self._scalar(node)
        known = self._done.get(id(node))
        if known is not None:
            value, self._size, self._height = known
            return value
        if id(node) in self._busy:
            self._size = self._height = 1
            return self._recursive(node)
        return self._collection(node)

    def _collection(self, node: Node) -> Value:
        self._busy.add(id(node))
        value: Value = self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
        self._busy.remove(id(node))
        if self._size > MAX_NODES or self._height > MAX_DEPTH:
            value = self._too_much(value.mark)
        self._done[id(node)] = value, self._size, self._height
        return value

    def _scalar(self, node: ScalarNode) -> Scalar:
        text = node.value
        sealed = id(node) in self._sealed
        if node.style:  # libyaml says "" for a plain one
            return Scalar(text, text, True, self._mark(node.start_mark), sealed=sealed)
        if sealed:  # what it says stays out of the cache
            plain = lint.resolve(text)
            return Scalar(plain.value, text, False, self._mark(node.start_mark), plain.number, sealed=True)
        plain = _resolve(text)
        mark = self._mark(node.start_mark)
        if plain.rule:
            self._unclear(plain.rule, text, mark)
        return Scalar(plain.value, text, False, mark, plain.number)

    def _sequence(self, node: Node) -> Sequence:
        items = []
        size = height = 0
        for index, child in enumerate(node.value):
            self._path.append(f"[{index}]")
            items.append(self.value(child))
            self._path.pop()
            size += self._size
            height = max(height, self._height)
        self._size, self._height = size + 1, height + 1
        return Sequence(tuple(items), self._mark(node.start_mark))

    def _mapping(self, node: MappingNode) -> Mapping:
        items: dict[str, Value] = {}
        marks: dict[str, Mark] = {}
        merged: list[Node] = []
        size = height = 0
        for key_node, child in node.value:
            key = self._key(key_node, marks)
            if key is None:
                continue
            marks[key] = self._mark(key_node.start_mark)
            if key == _MERGE and not key_node.style:
                merged.append(child)
                continue
            self._path.append(key)
            items[key] = self.value(child)
            self._path.pop()
            size += self._size
            height = max(height, self._height)
        self._size, self._height = size + 1, height + 1
        if merged:
            del marks[_MERGE]
            self._merge(items, marks, merged)
        return Mapping(items, marks, self._mark(node.start_mark))

    def _key(self, node: Node, seen: dict[str, Mark]) -> str | None:
        mark = self._mark(node.start_mark)
        if not isinstance(node, ScalarNode):
            self._error(
                "yaml-key", "a list or a mapping cannot be a key", mark, "write a name before the colon"
            )
            return None
        if node.tag:
            self._tagged(node)
        text: str = node.value
        if not node.style and text != _MERGE:
            plain = _resolve_key(text)
            if plain.rule:
                advice = lint.advise(plain.rule, text, key=True)
                self._error(plain.rule, advice.message, mark, advice.hint, key=text)
        if text in seen:
            self._error("yaml-duplicate-key", f"{text} is written twice; first in line {seen[text].line}", mark,
                        "keep one of the two, or move the lines of one below the other", key=text)  # fmt: skip
            return None
        return text

    def _merge(self, items: dict[str, Value], marks: dict[str, Mark], nodes: list[Node]) -> None:
        size, height = self._size, self._height
        for node in nodes:
            sources = node.value if isinstance(node, SequenceNode) else [node]
            for source in sources:
                value = self.value(source)
                size, height = size + self._size, max(height, self._height)
                if not isinstance(value, Mapping):
                    self._error("yaml-merge", "<< takes a mapping, or a list of mappings", value.mark,
                                "give it the alias of a mapping: <<: *name")  # fmt: skip
                    continue
                for key, item in value.items.items():
                    if key not in items:
                        items[key] = item
                        marks[key] = value.key_marks[key]
        self._size, self._height = size, height

    def _tagged(self, node: Node) -> None:
        tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
        hint = "take the tag out"
        if tag == "!!str":
            hint = "take the tag out and put the text in quotes"
        elif tag == "!secret":
            hint = f"encrypt it: vosctl vault encrypt {self._display}"
        elif tag == "!vault":
            hint = f"bring ansible-vault's values over: vosctl vault import {self._display}"
        self._error("yaml-tag", f"the tag {tag} is not known here", self._mark(node.start_mark), hint)

    def _recursive(self, node: Node) -> Scalar:
        mark = self._mark(node.start_mark)
        self._error("yaml-alias", "an alias inside of what it stands for has no end", mark,
                    "take the alias out of the anchored value")  # fmt: skip
        return Scalar(None, "null", False, mark)

    def _too_much(self, mark: Mark) -> Scalar:
        deep = self._height > MAX_DEPTH
        what = f"{MAX_DEPTH} levels" if deep else f"{MAX_NODES} values"
        if not self._overflowed:
            self._error("yaml-alias", f"with its aliases written out, this is more than {what}", mark,
                        "use fewer aliases")  # fmt: skip
        self._overflowed = True
        self._size = self._height = 1
        return Scalar(None, "null", False, mark)

    def _unclear(self, rule: str, text: str, mark: Mark) -> None:
        if is_secret_path(self._where()):
            self._error(rule, "without quotes, other characters than the written ones may be read", mark,
                        "put the value in quotes")  # fmt: skip
            return
        advice = lint.advise(rule, text)
        self._error(rule, advice.message, mark, advice.hint)

    def _mark(self, mark: Any) -> Mark:
        if mark.line >= self._lines:  # libyaml puts what is missing at the end behind the last line
            return Mark(self._display, self._lines, 1)
        return Mark(self._display, mark.line + 1, mark.column + 1)

    def _where(self, key: str | None = None) -> str:
        steps = [*self._path, key] if key is not None else self._path
        return ".".join(steps).replace(".[", "[")

    def _error(self, rule: str, message: str, mark: Mark, hint: str, *, key: str | None = None) -> None:
        self._problems.error(rule, message, mark, path=self._where(key), hint=hint)
