"""YAML text to PyYAML nodes with libyaml's parser: bounded, and with what can be said when the syntax is wrong."""

from __future__ import annotations

from typing import Any

import yaml
from msgspec import Struct
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 100
MAX_NODES = 2_000_000


class Fault(Struct, frozen=True):
    """Why the text is not YAML that we take; line and column count from 1."""

    rule: str
    message: str
    line: int
    column: int
    hint: str


class Composed(Struct, frozen=True):
    """The root node (None for an empty document) and what stopped the parser, if anything.

    With a fault, the root holds what stands before the fault.
    """

    root: Node | None
    fault: Fault | None


def compose(text: str) -> Composed:
    """Return the node tree of one YAML document.

    Tags of untagged nodes are None: the meaning of plain scalars is not libyaml's business.
    """
    try:
        return Composed(_Composer(text).get_single_node(), None)
    except _BoundsError as error:
        return Composed(None, error.fault)
    except yaml.YAMLError as error:
        return Composed(_compose_before_error(text), _fault(error, text))
    except UnicodeEncodeError as error:
        line, column = _position(text, error.start)
        return Composed(None, Fault("yaml-encoding", "the text holds half of a surrogate pair", line, column,
                                    "save the file as UTF-8"))  # fmt: skip


class _BoundsError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Composer(CParser):
    """libyaml's composer recurses on the C stack: the resolver's hooks are where depth can be bounded."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def resolve(self, _kind: type[Node], _value: Any, _implicit: Any) -> None:
        return None

    def descend_resolver(self, parent: Node | None, _index: Any) -> None:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            mark = parent.start_mark if parent is not None else None
            raise _BoundsError(_bounds_fault(mark, deep=self._depth > MAX_DEPTH))

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _bounds_fault(mark: Any, *, deep: bool) -> Fault:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    if deep:
        return Fault("yaml-too-deep", f"nested more than {MAX_DEPTH} levels deep", line, column,
                     "flatten the structure")  # fmt: skip
    return Fault("yaml-too-large", f"more than {MAX_NODES} values in one file", line, column,
                 "split the file")  # fmt: skip


def _compose_before_error(text: str) -> Node | None:
    """Return what can be known of the document up to the first syntax error.

    Open collections end where the error is; a key without a value gets none. Aliases are left out.
    """
    builder = _PartialBuilder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if not builder.add(event):
                break
    except (yaml.YAMLError, UnicodeEncodeError):
        pass
    return builder.finish()


class _PartialBuilder:
    """Builds nodes from events and survives a stream that just ends."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._open: list[tuple[Node, list[Node]]] = []
        self._nodes = 0

    def add(self, event: Any) -> bool:
        """Take one event; return False when enough was read."""
        self._nodes += 1
        mark: Any = event.start_mark
        if isinstance(event, yaml.ScalarEvent):
            self._put(ScalarNode(event.tag or "", event.value, mark, style=event.style))
        elif isinstance(event, yaml.AliasEvent):
            self._put(ScalarNode("", "", mark, style='"'))
        elif isinstance(event, yaml.CollectionStartEvent):
            kind = MappingNode if isinstance(event, yaml.MappingStartEvent) else SequenceNode
            node = kind(event.tag or "", [], mark)
            self._put(node)
            self._open.append((node, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        return self._nodes < MAX_NODES and len(self._open) < MAX_DEPTH and not self._document_is_over()

    def finish(self) -> Node | None:
        while self._open:
            self._close()
        return self._root

    def _document_is_over(self) -> bool:
        return self._root is not None and not self._open

    def _put(self, node: Node) -> None:
        if self._root is None:
            self._root = node
        if self._open:
            self._open[-1][1].append(node)

    def _close(self) -> None:
        node, children = self._open.pop()
        if isinstance(node, MappingNode):
            if len(children) % 2:
                children.pop()
            node.value = list(zip(children[::2], children[1::2], strict=True))
        else:
            node.value = children


_HINTS = (
    ("tab", "indent with spaces; YAML does not take tabs there"),
    (
        "mapping values are not allowed",
        "put a text that holds ': ' in quotes, or check the indentation of this line",
    ),
    (
        "cannot start any token",
        "put the text in quotes: it begins with a character that means something in YAML",
    ),
    (
        "could not find expected ':'",
        "a mapping line is 'key: value'; add the colon, or check the indentation",
    ),
    ("did not find expected key", "check the indentation, and that quotes and brackets above are closed"),
    (
        "did not find expected '-' indicator",
        "check the indentation: every item of a list begins in one column",
    ),
    ("expected ',' or", "close the bracket, or put a comma between the items"),
    (
        "undefined alias",
        "define the anchor (&name) above the alias, or put a text that begins with * in quotes",
    ),
    ("duplicate anchor", "give the second anchor another name"),
    ("second document", "keep one document in a file: take the second --- out"),
    ("node content", "close the bracket, or put the value there"),
    ("control characters", "take the character out"),
    ("block entry", "begin a list on a line of its own"),
    ("escape", "in double quotes a backslash is written twice; in single quotes it is itself"),
)
_WORDS = {
    "but found another document": "a second document begins here",
    "second occurrence": "duplicate anchor: the name is taken already",
    "mapping values are not allowed in this context": "a second ': ' in one line: mapping values are not allowed here",
}
_UNCLOSED_QUOTE = "while scanning a quoted scalar"


def _fault(error: yaml.YAMLError, text: str) -> Fault:
    if isinstance(error, yaml.MarkedYAMLError):
        return _marked_fault(error, text)
    offset = int(getattr(error, "position", 0) or 0)  # libyaml counts bytes here
    line, column = _position(text, len(text.encode()[:offset].decode(errors="ignore")))
    message = str(getattr(error, "reason", None) or error).splitlines()[0]
    return Fault("yaml-syntax", message, line, column, _hint(message))


def _marked_fault(error: yaml.MarkedYAMLError, text: str) -> Fault:
    problem = _WORDS.get(error.problem or "", error.problem) or error.context or "not YAML"
    mark, begun = error.problem_mark, error.context_mark
    if error.context == _UNCLOSED_QUOTE and begun is not None and "end of" in problem:
        return Fault("yaml-syntax", "the quote that begins here is never closed", begun.line + 1, begun.column + 1,
                     "close the quote; inside single quotes, write '' for one")  # fmt: skip
    line, column = _clamp(mark, text) if mark is not None else (1, 1)
    hint = _hint(problem)
    if "cannot start any token" in problem and _character(text, line, column) == "\t":
        problem, hint = "a tab in the indentation", _HINTS[0][1]
    return Fault("yaml-syntax", problem + _context(error, line), line, column, hint)


def _context(error: yaml.MarkedYAMLError, line: int) -> str:
    begun = error.context_mark
    words = error.context or ""
    if begun is None or begun.line + 1 >= line or not words.startswith("while parsing a "):
        return ""
    return f" (in the {words.removeprefix('while parsing a ')} that begins in line {begun.line + 1})"


def _hint(message: str) -> str:
    return next(
        (hint for words, hint in _HINTS if words in message), "check quotes, brackets and indentation above"
    )


def _clamp(mark: Any, text: str) -> tuple[int, int]:
    """Return line and column of the mark, moved to the end of the last line where it lies behind it."""
    lines = text.split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    if mark.line < len(lines):
        return mark.line + 1, mark.column + 1
    return len(lines), len(lines[-1]) + 1


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


def _character(text: str, line: int, column: int) -> str:
    content = text.split("\n")[line - 1]
    return content[column - 1 : column]
