"""The node's state as far as a wanted state asks for it: the answer to ``inspect``."""

from __future__ import annotations

import json
import os

from vosctl.push.agent import (
    accounts,
    facts,
    files,
    firewall,
    lock,
    packages,
    release,
    rules,
    services,
    sysctls,
    users,
)
from vosctl.push.agent.digests import hex_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.firewall import Firewall
    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State

MAX_CONTENT = 256 * 1024
_PASSING = ("lock", "pending")


def observe(
    state: State, wanted: dict[str, Any], *, max_content: int = MAX_CONTENT, now: Firewall | None = None
) -> dict[str, Any]:
    """Return the observed state; its ``digest`` is the same as long as nothing moves.

    ``now`` is a look at the firewall that was taken already.
    """
    node = state.node
    now = now or firewall.look(node)
    applied = state.applied()
    paths = {item["path"] for item in wanted["files"]}
    names = wanted.get("accounts") or []
    rulesets = _rulesets(state, wanted, now)
    orphans = _orphans(node, wanted, now, applied, rulesets)
    _leave_out_texts(wanted, rulesets)
    texts = {found["text"].encode(): family for family, found in rulesets.items() if found["text"]}
    observed: dict[str, Any] = {
        "facts": facts.gather(node, now, wanted["packages"]),
        "packages": packages.observe(wanted["packages"])
        if node.is_machine
        else dict.fromkeys(wanted["packages"], True),
        "accounts": accounts.observe(names) if node.is_machine else dict.fromkeys(names, True),
        "users": {
            item["name"]: users.observe(node, item, machine=node.is_machine)
            for item in wanted.get("users") or ()
        },
        "release": release.observe(node),
        "files": {item["path"]: files.observe(node, item, max_content, texts) for item in wanted["files"]},
        "sets": _sets(wanted, now),
        "rulesets": rulesets,
        "sysctls": _sysctls(node, wanted),
        "services": {item["name"]: services.observe(node, item, paths) for item in wanted["services"]},
        "applied": {key: applied.get(key) for key in APPLIED} if applied else None,
        "orphans": orphans,
    }
    observed["digest"] = _digest(observed)
    observed["lock"] = lock.holder(node)
    observed["pending"] = waiting(state)
    return observed


def _digest(observed: dict[str, Any]) -> str:
    """Return what is the same as long as nothing moves, from the digests of long texts instead of these."""
    short = {
        name: {key: {**found, without: None} for key, found in observed[name].items()}
        for name, without in (("files", "content"), ("rulesets", "text"))
    }
    return hex_sha256(json.dumps({**observed, **short}, sort_keys=True).encode())


APPLIED = (
    "id",
    "revision",
    "release",
    "files",
    "sets",
    "rulesets",
    "sysctls",
    "reloads",
    "restarts",
    "users",
)


def waiting(state: State) -> dict[str, Any] | None:
    """Return who applied what waits for its confirmation, since when and until when."""
    pending = state.pending()
    if pending is None:
        return None
    return {key: pending.get(key) for key in ("id", "holder", "revision", "since", "deadline", "state")}


def _sets(wanted: dict[str, Any], now: Firewall) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in wanted["sets"]:
        held = now.sets.get(item["name"])
        if held is not None:
            digest = held.digest(item)
            found[item["name"]] = {"digest": digest}
            if digest != item["digest"]:
                found[item["name"]]["members"] = held.members
    return found


def _rulesets(state: State, wanted: dict[str, Any], now: Firewall) -> dict[str, Any]:
    loaded = state.load("loaded") or {}
    stored = (state.load("firewall") or {}).get("rulesets", {})
    families = {item["family"] for item in wanted["rulesets"]} | {
        family for family, own in now.own.items() if own
    }
    found = {}
    for family in sorted(families):
        mark = loaded.get(str(family)) or {}
        text = now.text(family)
        then = mark.get("then", "")
        kept = stored.get(str(family)) or {}
        found[str(family)] = {
            "loaded": mark.get("digest"),
            "intact": then == text,
            "then": then,
            "now": text,
            "text": kept.get("text") if kept.get("digest") == mark.get("digest") else None,
        }
    return found


def _leave_out_texts(wanted: dict[str, Any], rulesets: dict[str, Any]) -> None:
    # Thousands of rules would otherwise travel three times over at each run.
    for item in wanted["rulesets"]:
        found = rulesets[str(item["family"])]
        if found["intact"] and found["loaded"] == item["digest"]:
            found.update(then="", now="", text=None)
        elif found["intact"] and found["text"] is not None:
            found.update(then="", now="")  # as the text that they were loaded from


def _sysctls(node: Node, wanted: dict[str, Any]) -> dict[str, Any]:
    container = bool(wanted["sysctls"]) and sysctls.in_container()
    return {item["key"]: sysctls.observe(node, item, container=container) for item in wanted["sysctls"]}


def _orphans(
    node: Node, wanted: dict[str, Any], now: Firewall, applied: dict[str, Any], rulesets: dict[str, Any]
) -> dict[str, Any]:
    paths = {item["path"] for item in wanted["files"]}
    names = {item["name"] for item in wanted["sets"]}
    chains = {}
    for family, own in now.own.items():
        seen = rulesets.get(str(family), {})
        known = rules.chains(own if seen.get("intact") else rules.parse(seen.get("then", "")))
        if any(item["family"] == family for item in wanted["rulesets"]):
            # Without a marker nobody can tell which are stale; loading rewrites them all anyway.
            stale = [chain for chain in rules.chains(own) if known and chain not in known]
        else:
            stale = rules.chains(own)
        if stale:
            chains[str(family)] = stale
    return {
        "files": sorted(
            path
            for path in applied.get("files") or {}
            if path not in paths and os.path.lexists(node.path(path))
        ),
        "sets": sorted(name for name in now.sets if name not in names),
        "chains": chains,
    }
