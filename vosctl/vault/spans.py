"""Where things begin and end in a YAML text, so that it can be edited with nothing else moving."""

from __future__ import annotations

from yaml.nodes import Node, ScalarNode


def last_of(body: str, node: Node) -> int:
    """Return where the last thing in a node ends; a block's end mark lies behind blank lines and comments."""
    while not isinstance(node, ScalarNode) and not node.flow_style and node.value:  # type: ignore[attr-defined]
        item = node.value[-1]
        node = item[1] if isinstance(item, tuple) else item
    return len(body[: node.end_mark.index].rstrip())


def line_start(body: str, at: int) -> int:
    """Return where the line begins that ``at`` is in."""
    return body.rfind("\n", 0, at) + 1


def line_end(body: str, at: int) -> int:
    """Return where the line ends that ``at`` is in, before its break."""
    found = body.find("\n", at)
    end = len(body) if found < 0 else found
    return end - 1 if end > at and body[end - 1] == "\r" else end


def line_break(body: str) -> str:
    """Return how lines end in this text."""
    return "\r\n" if "\r\n" in body else "\n"
