"""Which layer says what about one variable: the answer to "where does this value come from?"."""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC

from msgspec import Struct

from vosctl.secret import Secret
from vosctl.site.inventory.load import Inventory
from vosctl.site.secrets import is_secret_path
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value
from vosctl.site.variables.layers import layers
from vosctl.site.variables.source import canonical


class Layer(Struct, frozen=True, eq=False):
    """What one source of variables says; None where it is silent. A null scalar removes what came before.

    ``hidden`` is set where a value further up in this layer (a null, a list, a text) replaces the
    mapping in which the variable would stand: ``value`` is then that value.
    """

    name: str
    value: Value | None
    mark: Mark | None
    hidden: bool = False


def explain(
    inventory: Inventory,
    node: str,
    play_vars: SequenceABC[Mapping],
    extra_vars: SequenceABC[Mapping],
    path: str,
) -> list[Layer]:
    """Return every layer of ``node``'s variables, lowest first, with its value at ``path``.

    ``path`` is dotted, with indexes in brackets (``gateways.acme.codecs[0]``); names may hold dots.
    Secrets are fingerprints (``<secret 1a2b3c4d>``). Raises KeyError for an unknown host.
    """
    path = canonical(path)
    found = []
    for source in layers(inventory, node, play_vars, extra_vars):
        value, rest = lookup(source.tree, path)
        if rest and not _replaces(value, source.tree):
            found.append(Layer(source.layer, None, None))
            continue
        at = path[: len(path) - len(rest)].rstrip(".")
        found.append(Layer(source.layer, mask(value, at), value.mark, hidden=bool(rest)))
    return found


def lookup(value: Value, path: str) -> tuple[Value, str]:
    """Return the value at ``path`` and "", or the last value on the way and the rest of the path.

    At each mapping the longest key that fits is taken, so that names may hold dots and brackets.
    """
    while path:
        step = _step(value, path)
        if step is None:
            return value, path
        value, path = step
    return value, ""


def mask(value: Value, path: str) -> Value:
    """Return ``value``, which stands at ``path``, with secrets replaced by their fingerprints."""
    if isinstance(value, Mapping):
        items = {key: mask(item, f"{path}.{key}" if path else key) for key, item in value.items.items()}
        return Mapping(items, value.key_marks, value.mark)
    if isinstance(value, Sequence):
        return Sequence(tuple(mask(item, f"{path}[{i}]") for i, item in enumerate(value.items)), value.mark)
    if value.value is None or not (value.sealed or is_secret_path(path)):
        return value
    shown = f"<secret {Secret(value.text).fingerprint()}>"
    return Scalar(shown, shown, False, value.mark)


def _step(value: Value, path: str) -> tuple[Value, str] | None:
    if isinstance(value, Mapping):
        return _into_mapping(value, path)
    if isinstance(value, Sequence) and path.startswith("["):
        index, bracket, rest = path[1:].partition("]")
        if bracket and index.isdecimal() and int(index) < len(value.items):
            return value.items[int(index)], rest.removeprefix(".")
    return None


def _into_mapping(value: Mapping, path: str) -> tuple[Value, str] | None:
    fitting = [key for key in value.items if path == key or path.startswith((f"{key}.", f"{key}["))]
    if not fitting:
        return None
    key = max(fitting, key=len)
    return value.items[key], path[len(key) :].removeprefix(".")


def _replaces(value: Value, root: Mapping) -> bool:
    """Whether a value on the way ends what earlier layers say below it: anything but a mapping does."""
    return value is not root and not isinstance(value, Mapping)
