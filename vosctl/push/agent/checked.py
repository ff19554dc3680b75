"""Remembers what was found moved on this node, and until when each thing was known to be as it was applied."""

from __future__ import annotations

import os

from vosctl.push.agent import clock, durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State

NAME = "checked.json"
MOST_NAMED = 40


def check(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Take what the controller finds ``moved`` (names, as ``file /etc/…``) and return what is known of it.

    The ``checked`` frame has ``applied`` (id, holder, revision and time of the last apply) and for each name
    ``right``, the last moment at which it is known to have been as applied, ``by`` (``apply`` or ``check``),
    ``seen``, when a check first found it moved, and ``mtime`` of a file, a hint that anybody can forge. All
    moments are whole seconds of the Unix epoch by this node's clock.
    """
    moved = sorted({str(name) for name in request.get("moved") or ()})
    applied = state.applied()
    found = durable.read_json(state.node.state(NAME))
    before: dict[str, Any] = found if isinstance(found, dict) and found.get("id") == applied.get("id") else {}
    now = clock.now()
    known = {name: _known(name, before, applied, now) for name in moved}
    _remember(state, {"id": applied.get("id"), "time": now, "moved": known}, before)
    told = {name: {**each, "mtime": _mtime(state.node, name)} for name, each in known.items()}
    return {
        "op": "checked",
        "applied": {key: applied.get(key) for key in ("id", "holder", "revision", "time")},
        "moved": told,
    }


def _known(name: str, before: dict[str, Any], applied: dict[str, Any], now: int) -> dict[str, Any]:
    earlier = (before.get("moved") or {}).get(name)
    if isinstance(earlier, dict):
        return earlier
    if before.get("time"):
        return {"right": before["time"], "by": "check", "seen": now}
    return {"right": applied.get("time"), "by": "apply", "seen": now}


def _remember(state: State, document: dict[str, Any], before: dict[str, Any]) -> None:
    """Write the document; the journal has a line where other things moved than before."""
    if document["id"] is None or state.pending() is not None:
        return
    names = sorted(document["moved"])
    if names != sorted(before.get("moved") or {}):
        state.note("drift", moved=names[:MOST_NAMED], count=len(names))
    try:
        durable.write_json(state.node.state(NAME), document)
    except OSError:
        # A full or read-only disk: what is known is told all the same.
        return


def _mtime(node: Node, name: str) -> int | None:
    kind, _, path = name.partition(" ")
    if kind != "file":
        return None
    try:
        return int(os.lstat(node.path(path)).st_mtime)
    except OSError:
        return None
