"""Values, and what became of them, as people say it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

_MOST = 8
_HOUR, _MINUTE = 3600, 60


def said(value: Any) -> str:
    """Return a value as an operator would write it."""
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return some([said(item) for item in value])
    return _single(value)


def _single(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, timedelta):
        return _duration(int(value.total_seconds()))
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _duration(seconds: int) -> str:
    for size, unit in ((_HOUR, "h"), (_MINUTE, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def moved(label: str, old: Any, new: Any) -> str:
    """Return ``label old → new``."""
    return f"{label} {said(old)} → {said(new)}".strip()


def members(label: str, old: Iterable[Any], new: Iterable[Any]) -> str:
    """Return ``label: + those that came, − those that went``."""
    before, after = [said(item) for item in old], [said(item) for item in new]
    came = [item for item in after if item not in set(before)]
    went = [item for item in before if item not in set(after)]
    parts = [f"+ {some(came)}"] if came else []
    parts += [f"− {some(went)}"] if went else []
    return f"{label} {' '.join(parts)}".strip()


def some(items: Sequence[str], most: int = _MOST) -> str:
    """Return the items in a row, the first ``most`` of them."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def codecs(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, bool]:
    """Return what became of a list of codecs ("" for nothing), and whether one is lost; an empty list allows all."""
    if old == new:
        return "", False
    if {*old} == {*new}:
        return moved("order of codecs", old, new), False
    lost = bool(new) and (not old or bool({*old} - {*new}))
    return members("codecs", old or ("any",), new or ("any",)), lost
