"""Adds an entry to a YAML text where its mapping ends, in the style of that mapping; nothing else moves."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node

from vosctl.errors import UsageError
from vosctl.vault import values
from vosctl.vault.document import Document, Path
from vosctl.vault.spans import last_of, line_break, line_end

_STEP = 2


def steps_of(document: Document, name: str) -> Path:
    """Return the path that a dotted name means: of the keys that are there the longest that fits, so that names may hold dots."""
    for leaf in document.leaves.values():
        if leaf.name == name:
            return leaf.path
    path: list[str] = []
    node: Node | None = document.root
    rest = name
    while rest and isinstance(node, MappingNode):
        fitting = [
            key.value for key, _ in node.value if rest.startswith(key.value + ".") or rest == key.value
        ]
        if not fitting:
            break
        key = max(fitting, key=len)
        node = next(value for each, value in node.value if each.value == key)
        path.append(key)
        rest = rest[len(key) :].removeprefix(".")
    if rest:
        path += rest.split(".")
    if not all(path) or "[" in rest:
        raise UsageError(
            f"{name!r} is no path of a value",
            hint="as keys.ab.value; lists are changed with vosctl vault edit",
        )
    return tuple(path)


def insert(document: Document, path: Path, text: str) -> str:
    """Return the document's body with ``text`` as the value at ``path``, where nothing stands yet."""
    node, known = document.root, 0
    for step in path:
        found = next((value for key, value in node.value if key.value == step), None) if node else None
        if found is None:
            break
        if not isinstance(found, MappingNode):
            raise UsageError(f"{'.'.join(map(str, path[: known + 1]))} is no mapping that could hold more",
                             hint="change it with vosctl vault edit")  # fmt: skip
        node, known = found, known + 1
    rest = [values.render(values.string(str(step))) for step in path[known:]]
    if not rest:
        raise UsageError(f"{'.'.join(map(str, path))} is a mapping, not a value", hint="name a value in it")
    if node is None or not node.value:
        return _into_empty(document, node, rest, text)
    if node.flow_style:
        return _into_flow(document, node, rest, text)
    column = node.value[0][0].start_mark.column
    at = line_end(document.body, last_of(document.body, node))
    return (
        document.body[:at]
        + line_break(document.body)
        + _block(rest, text, column, document.body)
        + document.body[at:]
    )


def _into_empty(document: Document, node: MappingNode | None, rest: list[str], text: str) -> str:
    if node is not None and node is not document.root:
        return _into_flow(document, node, rest, text)
    body = document.body
    if node is not None:  # {} as the whole document
        body = body[: node.start_mark.index] + body[node.end_mark.index :].lstrip("\r\n")
    return body + ("" if not body or body.endswith("\n") else "\n") + _block(rest, text, 0, body) + "\n"


def _into_flow(document: Document, node: MappingNode, rest: list[str], text: str) -> str:
    inner = text
    for key in reversed(rest[1:]):
        inner = f"{{{key}: {inner}}}"
    end = node.end_mark.index - 1
    before = document.body[:end].rstrip()
    comma = "" if before.endswith(("{", ",")) else ","
    space = " " if before.endswith(",") or comma else ""
    if "#" in document.body[len(before) - len(before.splitlines()[-1]) : end].split("}")[-1]:
        comma, space = "\n" + comma, " "  # a comment ends its line
    return f"{before}{comma}{space}{rest[0]}: {inner}{document.body[end:]}"


def _block(rest: list[str], text: str, column: int, body: str) -> str:
    lines = [" " * (column + _STEP * number) + f"{key}:" for number, key in enumerate(rest)]
    return line_break(body).join(lines) + " " + text
