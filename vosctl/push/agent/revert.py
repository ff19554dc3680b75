"""Taking an apply back: at once, at its deadline, after a crash, after a reboot, or because a person says so."""

from __future__ import annotations

from vosctl.push.agent import clock, snapshot
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.state import State


def revert(state: State, pending: dict[str, Any], why: str, *, booting: bool = False) -> list[str]:
    """Take the pending apply back; the lock must be held. Return what did not work, [] when all did.

    As long as something did not work the apply stays pending, and the next run tries again.
    """
    identity = pending["id"]
    state.note("revert", id=identity, why=why)
    if pending["state"] != "reverting":
        _try_write(state, {**pending, "state": "reverting"})
    errors = snapshot.restore(state, identity, booting=booting)
    if errors:
        state.note("revert-failed", id=identity, why=why, errors=errors)
        return errors
    # The journal's word comes first: a crash in between repeats a revert that finds nothing to do.
    state.note("reverted", id=identity, why=why)
    state.clear_pending()
    snapshot.forget(state, identity)
    return []


def _try_write(state: State, pending: dict[str, Any]) -> None:
    try:
        state.write_pending(pending)
    except OSError:
        # A full disk: restoring gives room back, and the old words lead to a revert as well.
        return


def settle(state: State, *, booting: bool = False) -> str:
    """Finish a confirmed apply, take back one that must not stand; the lock must be held.

    Return ``confirmed``, ``reverted``, or "" when there is nothing pending or it may still wait.
    Raises AgentError when going back does not work.
    """
    pending = state.pending()
    if pending is None:
        return ""
    if pending["state"] != "reverting" and is_confirmed(state, pending["id"]):
        if state.outcome(pending["id"]) is None:
            state.note("confirmed", id=pending["id"], changed=pending["changed"])
        snapshot.give_up_rooms(state.node, pending["id"])
        state.clear_pending()
        return "confirmed"
    why = overdue(state, pending)
    if not why:
        return ""
    errors = revert(state, pending, why, booting=booting)
    if errors:
        raise AgentError(
            "io",
            f"going back failed: {'; '.join(errors)}",
            hint="put these right, then run again",
            step="revert",
        )
    return "reverted"


def is_confirmed(state: State, identity: str) -> bool:
    """Return whether the applied state is this apply's and confirmed."""
    applied = state.applied()
    return identity in (applied.get("id"), applied.get("last")) and bool(applied.get("confirmed"))


def overdue(state: State, pending: dict[str, Any]) -> str:
    """Return why a pending apply has to be taken back now, "" when it may still wait."""
    if pending["boot"] != state.node.boot():
        return "the node was rebooted before the confirmation"
    if pending["state"] == "reverting":
        return "an earlier revert did not finish"
    if pending["state"] == "applying":
        return "the apply was killed"
    return "no confirmation came in time" if clock.since_boot() >= pending["until"] else ""
