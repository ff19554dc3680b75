"""The end of an apply: the controller confirms it, or somebody takes it back."""

from __future__ import annotations

import contextlib

from vosctl.push.agent import clock, guard, process, recovery, revert, snapshot
from vosctl.push.agent.apply import LIMIT, identity
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.state import State

PATIENCE = 30.0


def confirm(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Keep what the apply of the request's id changed; without an id, what waits. May be repeated.

    Return the ``confirmed`` frame, or the ``failed`` frame that says what became of the apply.
    """
    with Lock(state.node, str(request.get("holder") or "unknown"), "confirm", patience=PATIENCE):
        recovery.recover_locked(state)
        pending = state.pending()
        wanted = identity(request) if request.get("id") is not None else (pending or {}).get("id")
        if wanted is None:
            return _failed(None, "nothing waits for a confirmation", rolled_back=False)
        if pending is not None and pending["id"] == wanted:
            _keep(state, pending)
        elif not revert.is_confirmed(state, wanted):
            return _lost(state, wanted)
    return {"op": "confirmed", "id": wanted}


def _keep(state: State, pending: dict[str, Any]) -> None:
    # The applied document is the point of no return: with it written, any later run only tidies up.
    state.store("applied", {**state.applied(), "confirmed": True})
    state.note("confirmed", id=pending["id"], changed=pending["changed"])
    snapshot.give_up_rooms(state.node, pending["id"])
    state.clear_pending()
    try:
        snapshot.prune(state)
    except OSError:
        # Old snapshots that cannot be removed now go with the next confirmation.
        return


def _lost(state: State, wanted: str) -> dict[str, Any]:
    last = state.outcome(wanted)
    if last is None:
        return _failed(wanted, f"apply {wanted} is not known on this node", rolled_back=False)
    if last["event"] == "confirmed":
        return _failed(
            wanted, f"apply {wanted} was confirmed, and a later one took its place", rolled_back=False
        )
    return _failed(wanted, f"apply {wanted} was taken back: {last.get('why', '')}", rolled_back=True)


def _failed(wanted: str | None, message: str, *, rolled_back: bool) -> dict[str, Any]:
    frame = {"op": "failed", "id": wanted, "step": "confirm", "item": "", "error": message}
    return {**frame, "hint": "look at what the node runs with: vosctl status", "rolled_back": rolled_back}


def rollback(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Take back the apply of the request's id and all later ones; without an id, the last. May be repeated with an id.

    Return the ``rolled-back`` frame with the ``revision`` that the node is at now, or ``failed``.
    """
    holder = str(request.get("holder") or "unknown")
    with Lock(state.node, holder, "rollback", patience=PATIENCE):
        wanted = identity(request) if request.get("id") is not None else None
        recovery.recover_locked(state)
        pending = state.pending()
        undone: list[str] = []
        if pending is not None and wanted in (None, pending["id"]):
            undone = _undo(state, pending, "rolled back by " + holder)
        elif wanted is None or not _is_gone(state, wanted):
            undone = _undo_confirmed(state, wanted, holder)
        now = state.applied()
    return {
        "op": "rolled-back",
        "id": wanted or (undone[-1] if undone else None),
        "undone": undone,
        "to": now.get("id"),
        "revision": now.get("revision"),
    }


def _is_gone(state: State, wanted: str) -> bool:
    last = state.outcome(wanted)
    return last is not None and last["event"] == "reverted" and wanted not in snapshot.chain(state)


def _undo_confirmed(state: State, wanted: str | None, holder: str) -> list[str]:
    found = snapshot.chain(state)
    if wanted is not None and wanted not in found:
        raise AgentError(
            "unsupported",
            f"apply {wanted} is not among those that can be taken back: {', '.join(found) or 'none'}",
        )
    if not found:
        raise AgentError(
            "unsupported",
            "there is no earlier state to go back to",
            hint="vosctl has not changed this node, or its snapshots are gone",
        )
    undone = []
    for name in found[: found.index(wanted) + 1 if wanted else 1]:
        pending = _reverting(state, name, holder)
        state.write_pending(pending)
        # Going back without anybody who would finish it is still better than not going back.
        with contextlib.suppress(AgentError):
            guard.arm(state, name)
        undone += _undo(state, pending, "rolled back by " + holder)
    return undone


def _reverting(state: State, name: str, holder: str) -> dict[str, Any]:
    found = process.myself()
    since = {
        "since": clock.now(),
        "deadline": None,
        "until": 0,
        "limit": clock.since_boot() + LIMIT,
        "window": 0,
        "pid": found[0],
        "start": found[1],
    }
    return {
        "id": name,
        "state": "reverting",
        "holder": holder,
        "revision": None,
        "boot": state.node.boot(),
        "changed": [],
        **since,
    }


def _undo(state: State, pending: dict[str, Any], why: str) -> list[str]:
    errors = revert.revert(state, pending, why)
    if errors:
        raise AgentError(
            "io",
            f"going back failed: {'; '.join(errors)}",
            hint="put these right and roll back again",
            step="revert",
        )
    return [pending["id"]]
