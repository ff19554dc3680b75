"""Finds what an earlier run left half-way and brings the node to where it belongs."""

from __future__ import annotations

from vosctl.push.agent import guard, process, revert
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock
from vosctl.push.agent.state import State, guard_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vosctl.push.agent.node import Node

PATIENCE = 0.5


def recover(node: Node) -> str:
    """Settle a pending apply that nobody works on, give one that still waits its guard again.

    Return what was done (see ``revert.settle``). Raises AgentError when going back does not work.
    """
    state = State(node)
    if not _needs_help(state):
        return ""
    try:
        with Lock(node, "vosctl", "recovery", patience=PATIENCE):
            return recover_locked(state)
    except AgentError as error:
        if error.kind == "locked":
            return ""
        raise


def recover_locked(state: State) -> str:
    """Do what ``recover`` does, with the lock held already."""
    done = revert.settle(state)
    pending = state.pending()
    if pending is not None and not guard_alive(state.node, pending["id"]):
        guard.arm(state, pending["id"])
    return done


def _needs_help(state: State) -> bool:
    pending = state.pending()
    if pending is None or (
        pending["state"] == "applying" and process.alive(pending["pid"], pending["start"])
    ):
        return False
    return bool(revert.overdue(state, pending)) or not guard_alive(state.node, pending["id"])
