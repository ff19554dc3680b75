"""A plan kept in a file, to be looked at by people and applied as it stands or not at all; no secrets in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from vosctl.errors import VosctlError
from vosctl.plan.change import Plan
from vosctl.plan.json import as_dict
from vosctl.push.fingerprint import Fingerprint

FORMAT = 1
KIND = "vosctl plan"


class PlanFile(Struct, frozen=True):
    """What ``vosctl plan --out`` writes.

    ``fingerprint`` is that of the wanted states and of the batches, the ``observed`` of each node that
    of its state, both under ``salt`` (see ``vosctl.push.fingerprint``); ``arguments`` and ``wishes`` are
    those of a ``Run``; ``plans`` are for people and scripts.
    """

    made: str
    holder: str
    revision: str | None
    salt: str
    fingerprint: str
    arguments: dict[str, Any]
    wishes: dict[str, Any]
    observed: dict[str, str]
    plans: dict[str, Any]

    def holds(self, node: str, digest: str, fingerprint: Fingerprint) -> bool:
        """Return whether ``digest`` is that of the state that the node's plan was made from."""
        return self.observed.get(node) == fingerprint.of(digest)


def states(plans: Mapping[str, Plan], fingerprint: Fingerprint) -> dict[str, str]:
    """Return each node's fingerprint of the state that its plan was made from."""
    return {name: fingerprint.of(plan.observed) for name, plan in plans.items()}


def shown(plans: Mapping[str, Plan]) -> dict[str, Any]:
    """Return the plans as JSON-ready objects without the digests of what was observed."""
    found = {name: as_dict(plan) for name, plan in plans.items()}
    return {
        name: {key: value for key, value in plan.items() if key != "observed"} for name, plan in found.items()
    }


def write(path: Path, plan: PlanFile) -> None:
    """Write a plan file, readable for its owner only; raise VosctlError."""
    words = {"kind": KIND, "format": FORMAT, **asdict(plan)}
    try:
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(json.dumps(words, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise VosctlError(f"{path}: the plan cannot be written: {error.strerror}") from error


def read(path: Path) -> PlanFile | None:
    """Return the plan in a file, None where the file is no plan (a playbook, say); raise VosctlError where it is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
        if found.pop("kind", "") != KIND:
            return None
        version = found.pop("format")
    except (ValueError, KeyError, AttributeError) as error:
        raise VosctlError(
            f"{path} is no whole plan: {error}", hint="make it anew with vosctl plan --out"
        ) from error
    if version != FORMAT:
        raise VosctlError(f"{path} is a plan in format {version}, not {FORMAT}", hint="make it anew")
    try:
        return PlanFile(**found)
    except TypeError as error:
        raise VosctlError(f"{path} is no whole plan: {error}", hint="make it anew") from error
