"""Merges texts line by line with git's own merge; only encrypted text ever comes here."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from vosctl.errors import UsageError

_LABELS = ("ours", "base", "theirs")
_MOST_CONFLICTS = 127


def merge_lines(
    ours: str, base: str, theirs: str, *, marker: int = 7, union: bool = False
) -> tuple[str, bool]:
    """Return the merged text and whether it has conflicts; ``union`` takes both sides' lines instead."""
    with tempfile.TemporaryDirectory(prefix="vosctl-merge-") as folder:
        files = [Path(folder, label) for label in _LABELS]
        for file, text in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(text.encode())
        words = ["git", "merge-file", "-p", f"--marker-size={marker}", *(["--union"] if union else [])]
        for label in _LABELS:
            words += ["-L", label]
        try:
            done = subprocess.run((*words, *map(str, files)), capture_output=True, check=False)
        except FileNotFoundError as error:
            raise UsageError("git is not installed", hint="apt-get install git") from error
    if done.returncode > _MOST_CONFLICTS:
        raise UsageError(f"git merge-file: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(), done.returncode > 0
