"""Edits of a rotation in a YAML text: keys come and go, a trunk's key and accepted keys change; nothing else moves."""

from __future__ import annotations

from collections.abc import Sequence

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vosctl.errors import UsageError
from vosctl.vault import values
from vosctl.vault.document import Document, parse
from vosctl.vault.insert import insert
from vosctl.vault.sealing import rewrite
from vosctl.vault.spans import last_of, line_break, line_end, line_start

_ACCEPT = "accept"


def with_key(document: Document, name: str, entry: str) -> str:
    """Return the body with the key ``name`` after the others; ``entry`` is its mapping in one line of YAML."""
    if find(document, "keys", name) is not None:
        raise UsageError(f"{document.display}: a key {name} is there already")
    return insert(document, ("keys", name), entry)


def without_key(document: Document, name: str) -> str:
    """Return the body without the key ``name``, and without the lines it stood on; as it is where there is none."""
    return _without(document, "keys", name)


def with_current(document: Document, trunk: str, key: str) -> str:
    """Return the body with ``key`` as what new calls of the trunk use."""
    return _with_scalar(document, trunk, "key", key)


def without_current(document: Document, trunk: str) -> str:
    """Return the body with no key for the trunk's new calls: SRTP agrees on keys itself."""
    return _without(document, "trunks", trunk, "key")


def with_mode(document: Document, trunk: str, mode: str) -> str:
    """Return the body with ``mode`` as the trunk's encryption."""
    return _with_scalar(document, trunk, "encryption", mode)


def with_key_mode(document: Document, key: str, mode: str) -> str:
    """Return the body with a mode of its own for a key; as it is where the key has one."""
    if find(document, "keys", key, "mode") is not None:
        return document.body
    return insert(document, ("keys", key, "mode"), values.render(values.string(mode)))


def without_key_mode(document: Document, key: str) -> str:
    """Return the body without a key's own mode; as it is where there is none."""
    return _without(document, "keys", key, "mode")


def with_accepted(document: Document, trunk: str, items: Sequence[str], *, keep: bool = True) -> str:
    """Return the body with ``items`` (YAML texts, as ``accepted`` returns them) in the trunk's accept list.

    Items that stay keep their text and their comments. A list that has nothing left is ``[]`` with ``keep``,
    and taken out without.
    """
    body = document.body
    found = find(document, "trunks", trunk, _ACCEPT)
    if found is None:
        return _begin_list(document, trunk, items) if items else body
    there = accepted(document, trunk)
    if not items:
        return _emptied(document, trunk) if keep else _without(document, "trunks", trunk, _ACCEPT)
    for text in there:
        if text not in items:
            body = _without_item(document, _list(document, trunk), there.index(text))
            document = parse(body, document.display)
            there = accepted(document, trunk)
    for text in items:
        if text not in accepted(document, trunk):
            body = _with_item(document, trunk, text)
            document = parse(body, document.display)
    return body


def accepted(document: Document, trunk: str) -> list[str]:
    """Return the items of the trunk's accept list as they are written; [] where it has none."""
    if find(document, "trunks", trunk, _ACCEPT) is None:
        return []
    return [
        document.body[item.start_mark.index : item.end_mark.index].strip()
        for item in _list(document, trunk).value
    ]


def has_accept(document: Document, trunk: str) -> bool:
    """Return whether the trunk has an accept list, be it empty."""
    return find(document, "trunks", trunk, _ACCEPT) is not None


def find(document: Document, *path: str) -> tuple[ScalarNode, Node, MappingNode] | None:
    """Return the entry at ``path``: its key, its value and the mapping it stands in; None where there is none."""
    node: Node | None = document.root
    entry = None
    for step in path:
        if not isinstance(node, MappingNode):
            return None
        entry = next(((key, value, node) for key, value in node.value if key.value == step), None)
        if entry is None:
            return None
        node = entry[1]
        if node.start_mark.index < entry[0].end_mark.index:
            raise _elsewhere(document, path)
    return entry


def _with_scalar(document: Document, trunk: str, name: str, value: str) -> str:
    path = ("trunks", trunk, name)
    text = values.render(values.string(value))
    if path not in document.leaves:
        if find(document, *path) is not None:
            raise _elsewhere(document, path)
        return insert(document, path, text)
    return rewrite(document, {path: text})


def _list(document: Document, trunk: str) -> SequenceNode:
    found = find(document, "trunks", trunk, _ACCEPT)
    if found is None or not isinstance(found[1], SequenceNode):
        raise _elsewhere(document, ("trunks", trunk, _ACCEPT))
    return found[1]


def _begin_list(document: Document, trunk: str, items: Sequence[str]) -> str:
    text = f"[{', '.join(items)}]"
    found = find(document, "trunks", trunk, "key")
    if found is None or found[2].flow_style:
        return insert(document, ("trunks", trunk, _ACCEPT), text)
    at = line_end(document.body, found[1].end_mark.index)
    line = " " * found[0].start_mark.column + f"{_ACCEPT}: {text}"
    return document.body[:at] + line_break(document.body) + line + document.body[at:]


def _emptied(document: Document, trunk: str) -> str:
    found = _list(document, trunk)
    body, start = document.body, found.start_mark.index
    if found.flow_style:
        return body[:start] + "[]" + body[found.end_mark.index :]
    entry = find(document, "trunks", trunk, _ACCEPT)
    assert entry is not None
    colon = body.index(":", entry[0].end_mark.index) + 1
    return (
        body[:colon]
        + " []"
        + body[colon : line_start(body, start)].rstrip()
        + body[line_end(body, last_of(body, found)) :]
    )


def _with_item(document: Document, trunk: str, text: str) -> str:
    found = _list(document, trunk)
    body = document.body
    if found.flow_style:
        if not found.value:
            at = found.start_mark.index + 1
            return body[:at] + text + body[at:]
        at = found.value[-1].end_mark.index
        return f"{body[:at]}, {text}{body[at:]}"
    at = line_end(body, last_of(body, found))
    return body[:at] + line_break(body) + " " * found.start_mark.column + f"- {text}" + body[at:]


def _without_item(document: Document, found: SequenceNode, index: int) -> str:
    spans = [(item.start_mark.index, item.end_mark.index) for item in found.value]
    if found.flow_style:
        return _cut(document.body, spans, index, found)
    dash = document.body.rindex("-", 0, spans[index][0])
    return _without_lines(document.body, dash, last_of(document.body, found.value[index]))


def _without(document: Document, *path: str) -> str:
    entry = find(document, *path)
    if entry is None:
        return document.body
    key, value, parent = entry
    if parent.flow_style:
        spans = [(one.start_mark.index, other.end_mark.index) for one, other in parent.value]
        return _cut(document.body, spans, [one for one, _ in parent.value].index(key), parent)
    return _without_lines(document.body, key.start_mark.index, last_of(document.body, value))


def _cut(body: str, spans: Sequence[tuple[int, int]], index: int, parent: Node) -> str:
    """Return the body without one item of a list or mapping in brackets, and without one comma."""
    if len(spans) == 1:
        return body[: parent.start_mark.index + 1] + body[parent.end_mark.index - 1 :]
    if index == len(spans) - 1:
        return body[: spans[index - 1][1]] + body[spans[index][1] :]
    return body[: spans[index][0]] + body[spans[index + 1][0] :]


def _without_lines(body: str, first: int, last: int) -> str:
    end = body.find("\n", last)
    return body[: line_start(body, first)] + ("" if end < 0 else body[end + 1 :])


def _elsewhere(document: Document, path: Sequence[str]) -> UsageError:
    return UsageError(
        f"{document.display}: {'.'.join(path)} is not written where it can be changed (an alias, or not a plain list)",
        hint="write it out in this file, or change the key by hand: docs/rotation.md",
    )
