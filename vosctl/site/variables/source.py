"""Where variables come from: one mapping that somebody wrote for one group, host, play or command line."""

from __future__ import annotations

from msgspec import Struct

from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, Mark, Scalar, Value

CONNECTION = frozenset({
    "host", "port", "user", "connection", "become", "private_key", "ssh_config", "known_hosts", "root",
})  # fmt: skip

_ALIASES = {f"ansible_{name}": name for name in CONNECTION} | {
    "ansible_ssh_host": "host",
    "ansible_ssh_port": "port",
    "ansible_ssh_user": "user",
    "ansible_ssh_private_key_file": "private_key",
    "ansible_private_key_file": "private_key",
}


class Source(Struct, frozen=True, eq=False):
    """One source of variables. ``inline`` ones stand in a hosts file, whose schema covers them.

    ``layer`` is ``defaults``, ``group NAME``, ``host NAME``, ``play`` or ``--extra-vars``.
    """

    layer: str
    tree: Mapping
    inline: bool = False


def canonical(name: str) -> str:
    """Return the name under which a variable is kept: ``host`` for ``ansible_host``."""
    return _ALIASES.get(name, name)


def variables(layer: str, value: Value | None, problems: Problems, *, inline: bool = False) -> Source | None:
    """Return ``value`` as a source with connection variables under their own names, or None where it has none.

    A value that is no mapping, and a key without any value, are problems.
    """
    if value is None or (isinstance(value, Scalar) and value.value is None):
        return None
    if not isinstance(value, Mapping):
        if not inline:
            problems.error("vars-shape", "variables are a mapping of names to values", value.mark,
                           hint="write one 'name: value' a line")  # fmt: skip
        return None
    _find_empty(value, (), problems)
    if not value.items:
        return None
    return Source(layer, _without_aliases(value, problems), inline)


def _find_empty(value: Mapping, path: tuple[str, ...], problems: Problems) -> None:
    """Report keys with nothing behind the colon: mostly a forgotten value, and taken for null it would remove."""
    for key, item in value.items.items():
        if isinstance(item, Mapping):
            _find_empty(item, (*path, key), problems)
        elif isinstance(item, Scalar) and item.value is None and not item.text:
            problems.error("empty-value", f"{key} has no value", value.key_marks[key], path=".".join((*path, key)),
                           hint="write the value, {} for nothing in it, or null to remove what earlier layers say")  # fmt: skip


def _without_aliases(tree: Mapping, problems: Problems) -> Mapping:
    if not any(key in _ALIASES for key in tree.items):
        return tree
    items: dict[str, Value] = {}
    marks: dict[str, Mark] = {}
    for key, item in tree.items.items():
        name = canonical(key)
        if name in items:
            problems.error("duplicate-alias", f"{key} and another spelling of {name} stand side by side",
                           tree.key_marks[key], path=key, hint=f"keep one of them; first at {marks[name]}")  # fmt: skip
            continue
        items[name] = item
        marks[name] = tree.key_marks[key]
    return Mapping(items, marks, tree.mark)
