"""Every other variable of a node: DSCP, media, firewall, relay, connection, and what templates see."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vosctl.plan.risk import Risk
from vosctl.review.model import Area, Finding
from vosctl.review.words import members, some
from vosctl.site.places import joined
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value, plain
from vosctl.site.variables.explain import mask

# What other parts of a review tell in better words, or what no node ever sees.
_ELSEWHERE = frozenset(
    {"gateways", "trunks", "keys", "rates", "files", "packages", "services", "sysctl", "demo", "description"}
)
_ORDERED = ("codecs", "run")
_LABELS = {
    "qos.media": "DSCP of media",
    "qos.signalling": "DSCP of signalling",
    "media.calls": "calls at once that the node is sized for",
}


def settings(old: Mapping, new: Mapping) -> Iterator[Finding]:
    """Yield each variable of a node, as merged over all layers, that has another value."""
    for name in sorted({*old.items, *new.items} - _ELSEWHERE):
        yield from _compared(_Pair(old, new, (name,)))


class _Pair:
    """One path in both trees."""

    def __init__(self, old: Mapping, new: Mapping, path: tuple[str, ...]) -> None:
        self.old, self.new = old.items.get(path[-1]), new.items.get(path[-1])
        self.path = path
        self.mark: Mark | None = new.key_marks.get(path[-1]) or old.key_marks.get(path[-1])
        self.gone = self.new is None

    @property
    def dotted(self) -> str:
        return joined(self.path)


def _compared(pair: _Pair) -> Iterator[Finding]:
    old, new = pair.old, pair.new
    if old is new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old.items, *new.items}):
            if name != "description":
                yield from _compared(_Pair(old, new, (*pair.path, name)))
    elif not _equal(old, new, ordered=pair.path[-1] in _ORDERED):
        yield Finding(Area.SETTING, pair.dotted, _told(pair), tuple(_risks(pair)), pair.mark, gone=pair.gone)


def _equal(old: Value | None, new: Value | None, *, ordered: bool) -> bool:
    if old is None or new is None:
        return False
    if isinstance(old, Sequence) and isinstance(new, Sequence) and not ordered:
        return sorted(map(_text, old.items)) == sorted(map(_text, new.items))
    return _text(old) == _text(new)


def _told(pair: _Pair) -> str:
    old, new = (None if each is None else mask(each, pair.dotted) for each in (pair.old, pair.new))
    label = _LABELS.get(pair.dotted, "")
    if isinstance(old, Sequence) and isinstance(new, Sequence):
        before, after = [_text(item) for item in old.items], [_text(item) for item in new.items]
        if sorted(before) != sorted(after):
            return members(label, before, after)
    if old is None:
        return f"{label} {_shown(new)}, not set before".strip()
    if new is None:
        return f"{label} no longer set, was {_shown(old)}".strip()
    return f"{label} {_shown(old)} → {_shown(new)}".strip()


def _risks(pair: _Pair) -> Iterator[Risk]:
    path = pair.path
    before, after = _items(pair.old), _items(pair.new)
    if path == ("firewall", "admin") and before - after:
        yield Risk.CUTS_CONTROLLER
    if path[:3] == ("firewall", "management", "ssh"):
        yield Risk.CUTS_CONTROLLER
    if path == ("firewall", "trusted") and before - after:
        yield Risk.DROPS_PEER
    if path == ("firewall", "enabled") and after == {"false"}:
        yield Risk.OPENS_PORT
    if path == ("relay", "enabled") and after == {"false"}:
        yield Risk.RESTARTS_RELAY


def _items(value: Value | None) -> set[str]:
    if isinstance(value, Sequence):
        return {_text(item) for item in value.items}
    return set() if value is None else {_text(value)}


def _text(value: Value) -> str:
    if isinstance(value, Scalar):
        return value.text if isinstance(value.value, str) else json.dumps(value.value)
    return json.dumps(plain(value), sort_keys=True, default=str)


def _shown(value: Value | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{len(value.items)} entries: {some(list(value.items))}"
    text = value.text if isinstance(value, Scalar) and isinstance(value.value, str) else _text(value)
    return text or '""'
