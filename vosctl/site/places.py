"""Paths into the variables as text, and the source place of what stands there."""

from __future__ import annotations

from vosctl.site.tree import Mapping, Mark, Value, at

Step = str | int


def joined(path: tuple[Step, ...], prefix: str = "") -> str:
    """Return ``gateways.acme.addresses[0]`` for the steps, behind ``prefix``."""
    text = prefix
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def mark_of(tree: Value, path: tuple[Step, ...]) -> Mark:
    """Return where the value at ``path`` stands; where there is none, its nearest ancestor's place."""
    for length in range(len(path), 0, -1):
        found = at(tree, path[:length])
        if found is not None:
            return found.mark if length == len(path) else key_mark(tree, path[:length])
    return tree.mark


def key_mark(tree: Value, path: tuple[Step, ...]) -> Mark:
    """Return where the key that leads to ``path`` stands (list items: the value)."""
    parent, step = at(tree, path[:-1]), path[-1]
    if isinstance(parent, Mapping) and isinstance(step, str) and step in parent.key_marks:
        return parent.key_marks[step]
    found = at(tree, path)
    return found.mark if found is not None else tree.mark
