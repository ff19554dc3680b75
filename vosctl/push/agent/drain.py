"""Keeps new calls from the relay: for a person, and before an apply or a rollback that has to restart it."""

from __future__ import annotations

import time

from vosctl.push.agent import dataplane, relay, release, services, snapshot
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State
    from vosctl.push.agent.work import Work

    Tell = Callable[[str, int, int], None]

# Asked for again and again while an apply waits: a relay whose agent died takes calls again after so many seconds.
HOLD = 60.0
PAUSE = 0.5


def drain(node: Node, *, on: bool | None) -> dict[str, Any]:
    """Refuse new calls until somebody takes it back (True), take them again (False), or only look (None).

    Return the ``drain`` frame: ``was`` and ``draining`` as the relay's status has it, and how many ``calls``
    run. Raises AgentError when no relay answers, or with the relay's own words.
    """
    was = _ask(node, {"cmd": "drain"})["draining"]
    found = _ask(node, {"cmd": "drain", "on": on})
    return {"op": "drain", "was": was, "draining": found["draining"], "calls": found["calls"]}


def _ask(node: Node, request: dict[str, Any]) -> dict[str, Any]:
    answer = relay.ask(node, request)
    if answer is None:
        message = f"the relay does not answer on {relay.RUN}/control.sock"
        raise AgentError("io", message, hint=relay.HINT, item=relay.SERVICE)
    if not answer.get("ok"):
        message = f"the relay: {answer.get('error', 'no reason given')}"
        hint = "vosctl apply brings a relay that can be drained"
        raise AgentError("unsupported", message, hint=hint, item=relay.SERVICE)
    return answer


def before_apply(work: Work, tell: Tell) -> bool:
    """Wait until no call is left that the apply would cut off; return whether the relay is held empty now.

    Raises AgentError when calls are left after the service's ``drain`` seconds; the relay takes new ones then.
    """
    for item, action in work.actions:
        if item["name"] == relay.SERVICE and _cuts(work, item, action):
            return _empty(work.node, float(item.get("drain") or 0), tell)
    return False


def before_rollback(state: State, tell: Tell) -> bool:
    """As ``before_apply``, for a rollback of what waits or was applied last."""
    pending = state.pending()
    names = [pending["id"]] if pending else snapshot.chain(state)[:1]
    found = snapshot.manifest(state.node, names[0]) if names else None
    for record in (found or {}).get("services") or ():
        item = record["item"]
        if item["name"] == relay.SERVICE and _cuts_back(state.node, found or {}, record):
            return _empty(state.node, float(item.get("drain") or 0), tell)
    return False


def over(node: Node) -> None:
    """Let the relay take new calls again, unless a person drains it."""
    relay.ask(node, {"cmd": "drain", "seconds": 0})


def _cuts(work: Work, item: dict[str, Any], action: str) -> bool:
    if action != "upgrade" or work.release is None:
        return action in ("stop", "restart")
    same = dataplane.same(work.node, release.name_of(work.release), work.archive)
    found = services.runner(work.node, item)
    return not same or found is None or not found.known or not services.hands_over(work.node, item, found)


def _cuts_back(node: Node, found: dict[str, Any], record: dict[str, Any]) -> bool:
    if record["action"] != "upgrade":
        # What the apply started, going back stops.
        return record["action"] in ("start", "restart")
    link = (found.get("release") or {}).get("link")
    same = bool(link) and dataplane.same(node, str(link).rpartition("/")[2], None)
    item = record["item"]
    runner = services.runner(node, item)
    if not same or runner is None or not runner.known or not services.same_user(record, runner):
        return True
    return not services.hands_over(node, item, runner)


def _empty(node: Node, seconds: float, tell: Tell) -> bool:
    until = time.monotonic() + seconds
    most = 0
    while seconds > 0:
        answer = relay.ask(node, {"cmd": "drain", "seconds": HOLD})
        if answer is None or not answer.get("ok"):
            # It is down and has no calls, or is too old to be drained.
            return False
        calls = int(answer["calls"])
        if not calls:
            return True
        if time.monotonic() >= until:
            over(node)
            raise AgentError(
                "io",
                f"the relay has to be restarted, and {calls} calls still run after {seconds:g} s of draining",
                hint="nothing was changed. Give it longer (relay.drain), drain it first (vosctl drain --wait), "
                "or cut the calls off (relay.drain: 0; vosctl rollback --now)",
                item=relay.SERVICE,
                step="drain",
            )
        most = max(most, calls)
        tell("drain", most - calls, most)
        time.sleep(PAUSE)
    return False
