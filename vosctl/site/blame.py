"""Which commit last wrote a line, as ``git blame`` tells it."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

from vosctl.errors import UsageError

_NOBODY = "0" * 40


class Origin(Struct, frozen=True):
    """The commit that a line comes from; ``commit`` is "" for a line that is not committed yet."""

    commit: str
    author: str
    when: datetime | None
    summary: str

    @property
    def short(self) -> str:
        """The commit's first 12 digits, or what to say where there is none."""
        return self.commit[:12] or "not committed"


UNCOMMITTED = Origin("", "", None, "")


class Blame:
    """Answers for lines of files in the working tree; git is asked once a file."""

    def __init__(self) -> None:
        self._files: dict[str, dict[int, Origin]] = {}

    def of(self, file: str, line: int) -> Origin:
        """Return where line ``line`` (from 1) of ``file`` comes from.

        Raises UsageError where git is not there or the file is in no repository.
        """
        if file not in self._files:
            self._files[file] = _blamed(Path(file))
        return self._files[file].get(line, UNCOMMITTED)


def _blamed(file: Path) -> dict[int, Origin]:
    folder = file.parent
    tracked = _git(folder, "ls-files", "--error-unmatch", "--", file.name)
    if tracked.returncode:
        if "not a git repository" in tracked.stderr:
            raise UsageError(
                f"{file} is in no git repository", hint="vosctl explain shows where a value stands"
            )
        return {}
    done = _git(folder, "blame", "--line-porcelain", "--", file.name)
    if done.returncode:
        raise UsageError(f"git cannot blame {file}", hint=done.stderr.strip())
    return dict(_parsed(done.stdout))


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ("git", "-C", str(folder), *words)
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="apt-get install git") from error


def _parsed(porcelain: str) -> list[tuple[int, Origin]]:
    """Return line → origin of ``git blame --line-porcelain``: a header a line, then the line behind a tab."""
    found: list[tuple[int, Origin]] = []
    header: dict[str, str] = {}
    for text in porcelain.split("\n"):
        if text.startswith("\t"):
            found.append((int(header["line"]), _origin(header)))
            header = {}
        elif header:
            key, _, value = text.partition(" ")
            header[key] = value
        elif text:
            commit, _, line, *_ = text.split(" ")
            header = {"commit": commit, "line": line}
    return found


def _origin(header: dict[str, str]) -> Origin:
    if header["commit"] == _NOBODY:
        return UNCOMMITTED
    when = datetime.fromtimestamp(int(header["author-time"]), tz=timezone.utc)
    return Origin(header["commit"], header["author"], when, header["summary"])
