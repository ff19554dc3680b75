"""What became of each apply on this node, put together from the journal."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

KEPT = 100
MOST_CHANGES = 40
# What an event of the journal makes of an apply's result.
_RESULTS = {
    "armed": "changing",
    "applied": "waiting",
    "confirmed": "confirmed",
    "revert": "going back",
    "revert-failed": "going back",
    "reverted": "rolled back",
    "failed": "failed",
}


def fold(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a record for each of the last applies among journal entries, oldest first.

    ``time`` and ``ended`` are whole seconds of the Unix epoch, ``changed`` the first of the ``count``
    things that the apply changed. Entries of the event ``record`` are such records of earlier times.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        identity = entry.get("id")
        if not isinstance(identity, str):
            continue
        event = entry.get("event")
        if event == "record":
            found[identity] = {key: value for key, value in entry.items() if key != "event"}
        elif event == "begin":
            found[identity] = _begun(identity, entry)
        elif identity in found:
            _update(found[identity], entry)
    return list(found.values())[-KEPT:]


def _begun(identity: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": identity,
        "time": entry.get("time"),
        "ended": None,
        "holder": entry.get("holder"),
        "revision": entry.get("revision"),
        "changed": [],
        "count": 0,
        "result": "begun",
        "why": "",
    }


def _update(record: dict[str, Any], entry: dict[str, Any]) -> None:
    event = str(entry.get("event"))
    changed = [f"package {name}" for name in entry.get("names") or []] if event == "packages" else []
    if event == "armed":
        changed = entry.get("changed") or []
    record["changed"] = (record["changed"] + changed)[:MOST_CHANGES]
    record["count"] += len(changed)
    if event in _RESULTS:
        record.update(result=_RESULTS[event], why=str(entry.get("why") or ""), ended=entry.get("time"))


def read(entries: Iterable[dict[str, Any]], pending: dict[str, Any], at_work: str) -> list[dict[str, Any]]:
    """Return the records of this node, oldest first, with how those stand that have not come to an end.

    ``pending`` is the apply that waits for its confirmation, empty where none does; ``at_work`` is what
    the holder of the node's lock does, "" where nobody holds it.
    """
    records = fold(entries)
    for record in records:
        if record["id"] == pending.get("id"):
            record["result"] = {"applied": "waiting", "applying": "changing"}.get(
                pending["state"], "going back"
            )
        elif record["result"] in ("begun", "changing"):
            record["result"] = "changing" if record["id"] in at_work else "interrupted"
    return records
