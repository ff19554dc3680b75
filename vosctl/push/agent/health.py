"""Looks at the node as the controller's health gates ask: its relay, its calls, what is loaded, an own command."""

from __future__ import annotations

import time

from vosctl.push.agent import command, firewall, relay
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from vosctl.push.agent.node import Node

MAX_SECONDS = 3600.0
MOST_SAID = 300
_COUNTED = ("begun", "refused", "mismatches", "lost", "expected")


def look(node: Node, request: dict[str, Any]) -> dict[str, Any]:
    """Return the ``health`` frame: an answer to each of the request's ``checks``, in their order.

    Each has ``ok`` and, where that is false, ``why``; raises AgentError for a check that is not known.
    """
    return {"op": "health", "answers": [_answer(node, check) for check in request.get("checks") or []]}


def _answer(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    doing = _CHECKS.get(str(check.get("check")))
    if doing is None:
        raise AgentError("unsupported", f"this agent does not know the check {check.get('check')!r}")
    try:
        return {"ok": True, "why": "", **doing(node, check)}
    except AgentError as error:
        return {"ok": False, "why": error.message}


def _relay(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    """Wait until the relay runs the wanted configuration and, where it tells one, release."""
    until = time.monotonic() + _seconds(check)
    while True:
        found = relay.status(node)
        why = _relay_trouble(found, check)
        if not why:
            return {"status": found}
        if time.monotonic() >= until:
            raise AgentError("io", why)
        time.sleep(0.1)


def _relay_trouble(found: dict[str, Any] | None, check: dict[str, Any]) -> str:
    if found is None:
        return f"it does not answer on {relay.RUN}/control.sock"
    config, program = check.get("config"), str(check.get("release") or "")[:12]
    if config and found.get("config_digest") != config:
        return f"it runs another configuration ({str(found.get('config_digest'))[:12]}) than was applied"
    if program and found.get("release") not in ("", None, program):
        return f"it runs another release ({found.get('release')}) than was applied"
    if (found.get("media") or {}).get("missing"):
        return f"it takes no calls: {found['media']['missing']}"
    return ""


def _calls(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    """Count the relay's calls; None where no relay answers."""
    del check
    found = (relay.status(node) or {}).get("calls")
    return {"calls": found if isinstance(found, int) else None}


def _errors(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    """Count what goes wrong in the relay for some seconds from now: packets, new calls, suspected keys."""
    before = _totals(node)
    until = time.monotonic() + _seconds(check)
    while time.monotonic() < until:
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
    after = _totals(node)
    if after["uptime"] < before["uptime"]:
        before = dict.fromkeys(before, 0)  # the relay's control began anew, and its counters with it
    found = {name: max(0, after[name] - before[name]) for name in _COUNTED}
    return {"errors": {**found, "offered": found["begun"] + found["refused"]}}


def _totals(node: Node) -> dict[str, Any]:
    """Return the relay's counters, those of the calls that run among them."""
    found = relay.status(node)
    totals = (found or {}).get("totals")
    if found is None or not isinstance(totals, dict):
        raise AgentError("io", f"no relay answers on {relay.RUN}/control.sock that counts errors")
    legs = [leg for call in relay.calls(node) for leg in call.get("legs") or []]
    running = {name: sum(max(0, int(leg.get(name) or 0)) for leg in legs) for name in ("lost", "expected")}
    return {
        "uptime": found.get("uptime", 0),
        **{name: int(totals.get(name) or 0) + running.get(name, 0) for name in _COUNTED},
    }


def _command(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    """Run a command, in the directory that stands for the node where one does."""
    run = check.get("run")
    words = ["/bin/sh", "-c", run] if isinstance(run, str) else [str(word) for word in run or []]
    if not words:
        raise AgentError("unsupported", "there is no command to run")
    environment = [f"{name}={check.get(name) or ''}" for name in ("VOSCTL_NODE", "VOSCTL_HOST")]
    inside = ("/bin/sh", "-c", 'cd "$0" && exec env "$@"', node.root or "/", *environment, *words)
    result = command.run(inside, seconds=_seconds(check))
    if result.code:
        raise AgentError("io", f"exit code {result.code}: {result.reason[-MOST_SAID:]}")
    return {}


def _loaded(node: Node, check: dict[str, Any]) -> dict[str, Any]:
    """Return own rules, as text by family, and own sets as the kernel holds them."""
    del check
    now = firewall.look(node)
    kernel = now.require()
    return {
        "rules": {str(family): kernel.own_text(family) for family in kernel.own},
        "sets": {name: held.record() for name, held in now.sets.items()},
    }


def _seconds(check: dict[str, Any]) -> float:
    found = check.get("within", 15)
    if not isinstance(found, (int, float)) or not 0 < found <= MAX_SECONDS:
        raise AgentError("unsupported", f"a time limit of {found!r} seconds makes no sense")
    return float(found)


_CHECKS: Mapping[str, Callable[[Node, dict[str, Any]], dict[str, Any]]] = {
    "relay": _relay,
    "calls": _calls,
    "command": _command,
    "loaded": _loaded,
    "errors": _errors,
}
