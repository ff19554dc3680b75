"""Deep merge of variable trees that keeps the identity of whatever a layer leaves alone."""

from __future__ import annotations

from vosctl.site.tree import Mapping, Mark, Scalar, Value


class Merger:
    """Merges and remembers: the same two objects give the same result object again.

    So nodes with the same layers share their whole tree, and later stages may cache by ``id()``.
    What was merged is kept alive, so that no id is used twice.
    """

    def __init__(self) -> None:
        self._merged: dict[tuple[int, int], tuple[Mapping, Mapping, Mapping]] = {}
        self._pruned: dict[int, tuple[Value, Value]] = {}

    def merge(self, base: Mapping, over: Mapping) -> Mapping:
        """Return ``base`` with ``over`` on top: mappings deeply, all else replaced, null removes.

        ``base`` holds no nulls (it is an earlier result, or pruned).
        """
        if not over.items:
            return base
        known = self._merged.get((id(base), id(over)))
        if known is not None:
            return known[0]
        result = self._merge(base, over)
        self._merged[id(base), id(over)] = result, base, over
        return result

    def prune(self, value: Value) -> Value:
        """Return ``value`` without the null entries of its mappings; the same object if it has none."""
        if not isinstance(value, Mapping):
            return value
        known = self._pruned.get(id(value))
        if known is not None:
            return known[0]
        items = {key: self.prune(item) for key, item in value.items.items() if not is_null(item)}
        same = len(items) == len(value.items) and all(items[key] is value.items[key] for key in items)
        marks = {key: value.key_marks[key] for key in items}
        result = value if same else Mapping(items, marks, value.mark)
        self._pruned[id(value)] = result, value
        return result

    def _merge(self, base: Mapping, over: Mapping) -> Mapping:
        items: dict[str, Value] = dict(base.items)
        marks: dict[str, Mark] = dict(base.key_marks)
        changed = False
        for key, value in over.items.items():
            before = items.get(key)
            if is_null(value):
                changed |= items.pop(key, None) is not None
                marks.pop(key, None)
                continue
            both = isinstance(before, Mapping) and isinstance(value, Mapping)
            after = self.merge(before, value) if both else self.prune(value)  # type: ignore[arg-type]
            if after is not before:
                changed = True
                items[key], marks[key] = after, over.key_marks[key]
        return Mapping(items, marks, over.mark) if changed else base


def is_null(value: Value | None) -> bool:
    """Return whether a value is an explicit null, which removes what earlier layers say."""
    return isinstance(value, Scalar) and value.value is None
