"""Tells git how to show and merge encrypted files: lines of .gitattributes, and the commands of this clone."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vosctl.errors import UsageError

DRIVER = "vosctl-vault"
ATTRIBUTES = tuple(f"*.{suffix} diff={DRIVER} merge={DRIVER}" for suffix in ("yml", "yaml"))
SETTINGS = {
    f"diff.{DRIVER}.textconv": "vosctl vault textconv",
    f"merge.{DRIVER}.name": "vosctl: encrypted YAML, leaf by leaf",
    f"merge.{DRIVER}.driver": "vosctl vault merge %O %A %B --marker-size %L --path %P",
}


def lines() -> list[str]:
    """Return the commands that set a clone up, for people."""
    return [f"git config {key} {value!r}" for key, value in SETTINGS.items()]


def set_up(folder: Path) -> list[str]:
    """Write what is missing, and return what was done; raise UsageError outside of a repository."""
    done = []
    file = folder / ".gitattributes"
    have = file.read_text(encoding="utf-8") if file.exists() else ""
    missing = [line for line in ATTRIBUTES if line not in have.splitlines()]
    if missing:
        file.write_text(
            have + ("" if not have or have.endswith("\n") else "\n") + "\n".join(missing) + "\n",
            encoding="utf-8",
        )
        done.append(f"{file.name}: {len(missing)} lines added; commit it")
    for key, value in SETTINGS.items():
        words = ("git", "-C", str(folder), "config", key, value)
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"git config {key} failed", hint="is the folder in a git repository?") from error
    done.append("git config: diff and merge drivers set for this clone (each clone needs it once)")
    return done
