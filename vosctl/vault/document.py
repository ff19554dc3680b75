"""A YAML file as the vault sees it: text, leaves with their paths and places, and the header's block."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vosctl.errors import InputError
from vosctl.site.places import joined
from vosctl.site.problems import Problems
from vosctl.site.text.compose import MAX_NODES, Composed, compose
from vosctl.site.tree import Mark
from vosctl.vault.faults import refuse

HEADER = "vosctl_vault"
SECRET_TAG = "!secret"  # noqa: S105  a YAML tag
TOKEN = "vos1."  # noqa: S105  what encrypted values begin with
NOTE = "# Encrypted by vosctl. Change this file with: vosctl vault edit"
_NOTE_LINE = re.compile(re.escape(NOTE) + r"\r?\n\Z")
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|={7}|\|{7})(?: |$)", re.MULTILINE)

Path = tuple[str | int, ...]


class Leaf(Struct, frozen=True, eq=False):
    """One scalar. ``column`` is where its mapping's keys (its list's dashes) begin, None inside of brackets."""

    path: Path
    node: ScalarNode
    mark: Mark
    column: int | None

    @property
    def name(self) -> str:
        """The path as people write it."""
        return joined(self.path)

    @property
    def is_token(self) -> bool:
        """Whether the value is encrypted: a plain scalar that begins as tokens do."""
        return not self.node.style and not self.node.tag and self.node.value.startswith(TOKEN)

    @property
    def is_marked(self) -> bool:
        """Whether somebody wrote !secret before it."""
        return bool(self.node.tag == SECRET_TAG)


class Document(Struct, frozen=True, eq=False):
    """A parsed file; ``root`` is None for an empty one. ``body`` is the text without the header's block."""

    text: str
    display: str
    root: MappingNode | None
    leaves: Mapping[Path, Leaf]
    header: MappingNode | None
    header_mark: Mark
    body: str

    @property
    def tokens(self) -> tuple[Leaf, ...]:
        """The encrypted leaves."""
        return tuple(leaf for leaf in self.leaves.values() if leaf.is_token)


def parse(text: str, display: str) -> Document:
    """Return the document; raise InputError where the text is not YAML that the vault can hold."""
    composed = compose(text)
    if composed.fault is not None:
        raise _unreadable(text, display, composed)
    return of_root(composed.root, text, display)


def of_root(root: Node | None, text: str, display: str) -> Document:
    """Return the document of composed text; raises as ``parse``."""
    start = Mark(display, 1, 1)
    if root is None:
        return Document(text, display, None, {}, None, start, text)
    if not isinstance(root, MappingNode):
        raise refuse("vault-shape", "a file with secrets is a mapping of names to values", start,
                     hint="write one 'name: value' a line")  # fmt: skip
    leaves: dict[Path, Leaf] = {}
    problems = Problems()
    _Walk(display, leaves, problems).mapping(root, (), inside=False)
    problems.raise_errors()
    found = _header(root, display)
    if found is None:
        return Document(text, display, root, leaves, None, start, text)
    node, begin, mark = found
    body = _NOTE_LINE.sub("", text[:begin])
    kept = {path: leaf for path, leaf in leaves.items() if path[0] != HEADER}
    return Document(text, display, root, kept, node, mark, body)


def canonical(root: MappingNode) -> bytes:
    """Return what the MAC is over: JSON of the tree with keys sorted, without the MAC itself.

    A scalar is ["p", text] where plain and ["q", text] where quoted or a block, a list ["l", …], a
    mapping ["m", [key, value], …].
    """
    return json.dumps(_Canon().of(root, ()), separators=(",", ":")).encode()


class _Canon:
    """One run over one tree; aliases are written out, so the size is bounded."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def of(self, node: Node, path: Path) -> list[Any]:
        self._left -= 1
        if self._left < 0 or len(path) > 200:
            mark = node.start_mark
            raise refuse("yaml-alias", "with its aliases written out, this has no end",
                         Mark("", mark.line + 1, mark.column + 1), hint="use fewer aliases")  # fmt: skip
        if isinstance(node, ScalarNode):
            return ["q" if node.style else "p", node.value]
        if isinstance(node, MappingNode):
            pairs = sorted(((key.value, value) for key, value in node.value), key=lambda pair: str(pair[0]))
            kept = [(key, value) for key, value in pairs if (*path, key) != (HEADER, "mac")]
            return ["m", *([key, self.of(value, (*path, key))] for key, value in kept)]
        return ["l", *(self.of(item, (*path, index)) for index, item in enumerate(node.value))]


class _Walk:
    """Collects leaves, each at the first path that leads to it."""

    def __init__(self, display: str, leaves: dict[Path, Leaf], problems: Problems) -> None:
        self._display = display
        self._leaves = leaves
        self._problems = problems
        self._seen: set[int] = set()

    def mapping(self, node: MappingNode, path: Path, *, inside: bool) -> None:
        inside = inside or bool(node.flow_style)
        known: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag:
                self._error("yaml-key", "only a plain name can be a key", key, path)
                continue
            if key.value in known and key.value != "<<":
                self._error("yaml-duplicate-key", f"{key.value} is written twice", key, path)
            known.add(key.value)
            self._value(value, (*path, key.value), None if inside else key.start_mark.column, inside=inside)

    def _value(self, node: Node, path: Path, column: int | None, *, inside: bool) -> None:
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        tag = node.tag
        if tag and not (tag == SECRET_TAG and isinstance(node, ScalarNode)):
            self._error("yaml-tag", f"the tag {tag} is not known here", node, path)
        if isinstance(node, ScalarNode):
            self._leaves[path] = Leaf(path, node, self._mark(node), column)
        elif isinstance(node, MappingNode):
            self.mapping(node, path, inside=inside)
        elif isinstance(node, SequenceNode):
            self._sequence(node, path, inside=inside)

    def _sequence(self, node: SequenceNode, path: Path, *, inside: bool) -> None:
        inside = inside or bool(node.flow_style)
        column = None if inside else node.start_mark.column
        for index, item in enumerate(node.value):
            self._value(item, (*path, index), column, inside=inside)

    def _mark(self, node: Node) -> Mark:
        return Mark(self._display, node.start_mark.line + 1, node.start_mark.column + 1)

    def _error(self, rule: str, message: str, node: Node, path: Path) -> None:
        self._problems.error(rule, message, self._mark(node), path=joined(path),
                             hint="tags: only !secret before a value; keys: one plain name each")  # fmt: skip


def _header(root: MappingNode, display: str) -> tuple[MappingNode, int, Mark] | None:
    for number, (key, value) in enumerate(root.value, 1):
        if key.value == HEADER:
            mark = Mark(display, key.start_mark.line + 1, 1)
            if not isinstance(value, MappingNode):
                raise refuse("vault-truncated", f"{HEADER} has nothing in it: the file is cut off", mark,
                             hint=_RESTORE)  # fmt: skip
            if number != len(root.value) or key.start_mark.column or root.flow_style:
                raise refuse("vault-header", f"{HEADER} is not the last thing in the file", mark,
                             hint="move what follows above it, then: vosctl vault encrypt --reseal")  # fmt: skip
            return value, key.start_mark.index, mark
    return None


_RESTORE = "take the whole file from git again: git checkout -- FILE"


def _unreadable(text: str, display: str, composed: Composed) -> InputError:
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        mark = Mark(display, text.count("\n", 0, conflict.start()) + 1, 1)
        return refuse("vault-conflict", "a git conflict is still marked here", mark,
                      hint=f"keep one side of each, then: vosctl vault encrypt --reseal {display}")  # fmt: skip
    fault = composed.fault
    assert fault is not None
    return refuse(fault.rule, fault.message, Mark(display, fault.line, fault.column), hint=fault.hint)
