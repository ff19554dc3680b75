"""A plan as JSON: stable names, made for scripts."""

from __future__ import annotations

import json
from typing import Any

from vosctl.plan.change import Change, Held, Plan


def as_dict(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data: ``node``, ``observed``, ``changes``, ``held``, ``refusal``."""
    return {
        "node": plan.node,
        "observed": plan.observed,
        "changes": [_change(change) for change in plan.changes],
        "held": [_held(held) for held in plan.held],
        "refusal": plan.refusal or None,
    }


def render(plan: Plan) -> str:
    """Return the plan as JSON text with sorted keys."""
    return json.dumps(as_dict(plan), indent=2, sort_keys=True) + "\n"


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "name": change.name,
        "action": change.action.value,
        "detail": change.detail,
        "diff": list(change.diff),
        "risk": change.risk.value if change.risk else None,
        "drift": change.drift,
    }


def _held(held: Held) -> dict[str, Any]:
    return {"kind": held.kind.value, "name": held.name, "reason": held.reason, "fatal": held.fatal}
