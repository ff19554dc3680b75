"""The commit that a rotation asks for: just its files, with a trailer that programs can read."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vosctl.errors import VosctlError

TRAILER = "Vosctl-Rotation"
_FOLDER = "rotations"


def message_of(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the commit's message for rotations that ended, or (with ``step``) that stand somewhere."""
    names = ", ".join(dict.fromkeys(str(report["trunk"]) for report in reports))
    standing = any("step" in report for report in reports)
    subject = f"{'Begin to rotate' if standing else 'Rotate'} the key of trunk {names}"
    lines = [_sentence(report) for report in reports]
    trailers = [f"{TRAILER}: {_trailer(report)}" for report in reports]
    return "\n".join([subject, "", *lines, "", *trailers]) + "\n"


def command_of(folder: Path, reports: Sequence[Mapping[str, Any]]) -> str:
    """Return what an operator types to commit the rotations' files, from the current folder."""
    paths = shlex.join(_shown(folder, reports))
    text = message_of(reports).strip()
    return f"git add -- {paths} && git commit -m {shlex.quote(text)} -- {paths}"


def is_repository(folder: Path) -> bool:
    """Return whether a folder is in a working tree of git."""
    return _git(folder, "rev-parse", "--is-inside-work-tree").stdout.strip() == "true"


def foreign_changes(folder: Path, files: Iterable[Path]) -> str:
    """Return git's words on changes in ``files`` that nobody committed yet; "" where there are none."""
    names = [str(path.absolute()) for path in files]
    return _git(folder, "status", "--porcelain", "--", *names).stdout.rstrip()


def commit(folder: Path, reports: Sequence[Mapping[str, Any]], *, sign: bool) -> str:
    """Commit the rotations' files, and nothing else, and return the commit's id; raise VosctlError.

    Signed where git is configured to sign, or with ``sign``.
    """
    paths = _paths(reports)
    _done(folder, "add", "--all", "--", *paths)
    words = ("commit", "--quiet", *(("--gpg-sign",) if sign else ()), "--file=-", "--", *paths)
    _done(folder, *words, text=message_of(reports))
    return _done(folder, "rev-parse", "--short=12", "HEAD").strip()


def _sentence(report: Mapping[str, Any]) -> str:
    ends = " and ".join(report["ends"])
    stands = f"stands at {report['step']}" if "step" in report else str(report["outcome"])
    return (
        f"{report['trunk']} ({ends}): {report['old']} -> {report['new']}, {stands}; begun by {report['who']}."
    )


def _trailer(report: Mapping[str, Any]) -> str:
    outcome = "under-way" if "step" in report else report["outcome"]
    words = {
        "trunk": report["trunk"],
        "old": report["old"],
        "new": report["new"],
        "mode": report["new_mode"],
        "outcome": outcome,
        **({"step": report["step"]} if "step" in report else {}),
        "id": report["id"],
    }
    return " ".join(f"{name}={value}" for name, value in words.items())


def _paths(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({_FOLDER, *(name for report in reports for name in report["files"])})


def _shown(folder: Path, reports: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(folder / name) for name in _paths(reports)]


def _done(folder: Path, *words: str, text: str = "") -> str:
    done = _git(folder, *words, text=text)
    if done.returncode:
        raise VosctlError(
            f"git {words[0]}: {done.stderr.strip() or done.stdout.strip()}",
            hint="the rotation itself is done; commit its files by hand",
        )
    return done.stdout


def _git(folder: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("git", "-C", str(folder), *words),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VosctlError(f"git cannot be run: {error}", hint="apt-get install git") from error
