"""Remembers the latest version of each encrypted file that was applied from here, so that an older one is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vosctl.errors import InputError
from vosctl.site.problems import Problem
from vosctl.vault.keys import Version
from vosctl.vault.roster import write

_FILE = "vault-seen.json"


def check_versions(folder: Path, versions: Iterable[Version]) -> None:
    """Raise InputError where a file is an older version than one that was applied from this folder."""
    seen = _read(folder)
    found = [
        Problem("vault-rolled-back",
                f"this is version {each.serial} of the file; version {seen[each.identifier]} was applied from here",
                each.mark,
                hint="take the newer one from git; to go back on purpose: vosctl vault encrypt --reseal --newer "
                f"{each.mark.file}")
        for each in versions
        if each.serial < seen.get(each.identifier, 0)
    ]  # fmt: skip
    if found:
        raise InputError(tuple(found))


def remember_versions(folder: Path, versions: Iterable[Version]) -> None:
    """Note the versions that were applied; where nothing can be written, they are not noted."""
    seen = _read(folder)
    now = {
        **seen,
        **{each.identifier: max(each.serial, seen.get(each.identifier, 0)) for each in versions},
    }
    if now != seen:
        with suppress(OSError):
            (folder / ".vosctl").mkdir(exist_ok=True)
            write(folder / ".vosctl" / _FILE, json.dumps(now, indent=1, sort_keys=True) + "\n")


def version_seen(folder: Path, identifier: str) -> int:
    """Return the latest version of a document that was applied, 0 where none was."""
    return _read(folder).get(identifier, 0)


def _read(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / ".vosctl" / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): int(value) for key, value in found.items()} if isinstance(found, dict) else {}
