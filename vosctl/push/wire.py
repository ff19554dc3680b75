"""The wanted state as the agent takes it: digests to compare, then only the items that differ."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from vosctl.compile.desired import Desired
from vosctl.plan.observed import Observed
from vosctl.push.agent import bundle

MAX_CONTENT = 262144


def wanted(desired: Desired, *, revision: str | None) -> dict[str, Any]:
    """Return names, digests and attributes of all that the node should be; no contents."""
    release = desired.release
    return {
        "node": desired.node,
        "revision": revision,
        "packages": list(desired.packages),
        "accounts": list(desired.accounts),
        "users": [
            {**asdict(user), "groups": None if user.groups is None else list(user.groups)}
            for user in desired.users
        ],
        "release": {"version": release.version, "digest": release.digest} if release else None,
        "files": [
            {
                "path": file.path,
                "digest": file.digest,
                "mode": file.mode,
                "owner": file.owner,
                "group": file.group,
                "secret": file.secret,
                "reload": file.reload,
                **({"restart": file.restart} if file.restart else {}),
                **({"validate": file.validate, "origin": file.origin} if file.validate else {}),
            }
            for file in desired.files
        ],
        "sets": [
            {
                "name": ipset.name,
                "type": ipset.type,
                "family": ipset.family,
                "maxelem": ipset.maxelem,
                "options": ipset.options,
                "digest": ipset.digest,
            }
            for ipset in desired.sets
        ],
        "rulesets": [
            {
                "family": rules.family,
                "digest": rules.digest,
                "hooks": [[hook.table, hook.parent, hook.chain] for hook in rules.hooks],
            }
            for rules in desired.rulesets
        ],
        "sysctls": [
            {"key": sysctl.key, "value": sysctl.value, "host_wide": sysctl.host_wide}
            for sysctl in desired.sysctls
        ],
        "services": [
            {
                "name": service.name,
                "state": service.state,
                "enabled": service.enabled,
                "supervise": list(service.supervise),
                "pidfile": service.pidfile,
                "drain": service.drain,
            }
            for service in desired.services
        ],
    }


def glance(wanted: Mapping[str, Any]) -> str:
    """Return the key of a node's answer to an inspection for ``wanted`` by this very agent, whatever the revision."""
    told = {name: value for name, value in wanted.items() if name != "revision"}
    text = json.dumps([bundle.digest(), MAX_CONTENT, told], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def items(desired: Desired, observed: Observed) -> dict[str, Any]:
    """Return the contents that the node lacks: release, files, sets and rulesets."""
    found: dict[str, Any] = {"files": {}, "sets": {}, "rulesets": {}}
    release = desired.release
    if release and (observed.release is None or observed.release[1] != release.digest):
        found["release"] = {"archive": base64.b64encode(release.archive).decode()}
    if observed.ability("firewall").ok:
        _firewall(desired, observed, found)
    texts = {text.encode(): family for family, text in found["rulesets"].items()}
    for file in desired.files:
        file_state = observed.files.get(file.path)
        if file_state is None or not file_state.exists or file_state.digest != file.digest:
            found["files"][file.path] = _content(file.content, texts)
    return found


def _content(content: bytes, texts: Mapping[bytes, str]) -> str | dict[str, str]:
    """Return a file's bytes as base64, or the name of the ruleset that is sent with them and has the same text."""
    family = texts.get(content)
    return base64.b64encode(content).decode() if family is None else {"ruleset": family}


def _firewall(desired: Desired, observed: Observed, found: dict[str, Any]) -> None:
    for ipset in desired.sets:
        set_state = observed.sets.get(ipset.name)
        if set_state is None or set_state.digest != ipset.digest:
            found["sets"][ipset.name] = list(ipset.members)
    stale = {family for family, _ in observed.orphan_chains}
    for rules in desired.rulesets:
        state = observed.rulesets.get(rules.family)
        if state is None or state.loaded != rules.digest or not state.intact or rules.family in stale:
            found["rulesets"][str(rules.family)] = rules.text
