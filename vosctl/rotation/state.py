"""How far a rotation has come: a file of the site, so that it travels with git and any machine can go on. No keys in it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from vosctl.errors import UsageError, VosctlError
from vosctl.vault.roster import write

FORMAT = 1
_FOLDER = "rotations"
_REPORTS = "reports.jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOME = ".vosctl"


class Step(Enum):
    """The steps of a rotation, and the two of the way back; a step that was begun can be done again from its start."""

    STAGE = "stage"
    ACTIVATE = "activate"
    WAIT = "wait"
    RETIRE = "retire"
    RETURN = "return"
    WAIT_BACK = "wait-back"
    REMOVE = "remove"

    @property
    def goes_back(self) -> bool:
        """Whether it belongs to the way back."""
        return self in (Step.RETURN, Step.WAIT_BACK, Step.REMOVE)


FOLLOWS = {
    Step.STAGE: Step.ACTIVATE,
    Step.ACTIVATE: Step.WAIT,
    Step.WAIT: Step.RETIRE,
    Step.RETURN: Step.WAIT_BACK,
    Step.WAIT_BACK: Step.REMOVE,
}
# Until new calls may have used the new key, going back is only taking it out.
BACK = {
    Step.STAGE: Step.REMOVE,
    Step.ACTIVATE: Step.RETURN,
    Step.WAIT: Step.RETURN,
    Step.RETIRE: Step.RETURN,
}


class State(Struct):
    """A rotation under way. ``step`` is the one that was begun last: done again from its start, it comes to its end.

    - ``who`` began it, as ``user@host``; ``started`` is in UTC, as all times.
    - ``old`` and ``new`` are key ids, "" where that side is SRTP, which has none; ``mode`` and ``new_mode`` are the
      trunk's encryption before and after.
    - ``accept`` are the items of the trunk's accept list before, as they were written; None: there was no list.
    - ``retires`` are the key ids that the trunk accepted before.
    - ``hand`` is who is at it, or was last.
    - ``files`` were changed on the way, named from the site's folder.
    - ``moded`` are the old keys that were given a mode of their own, because the trunk's changes.
    - ``done`` says of each step: when, who, how many calls held which key on each end, what became of the nodes.
    """

    id: str
    trunk: str
    ends: list[str]
    who: str
    started: str
    old: str
    new: str
    mode: str
    new_mode: str
    accept: list[str] | None
    retires: list[str]
    step: str = Step.STAGE.value
    hand: str = ""
    files: list[str] = field(default_factory=list)
    moded: list[str] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)

    @property
    def old_name(self) -> str:
        """The old key, or the mode that has none."""
        return self.old or self.mode

    @property
    def new_name(self) -> str:
        """The new key, or the mode that has none."""
        return self.new or self.new_mode

    @property
    def goes(self) -> list[str]:
        """The keys that calls must let go of before the rotation can end."""
        if self.now.goes_back:
            return [self.new] if self.new else []
        return [kid for kid in self.retires if kid != self.new]

    @property
    def now(self) -> Step:
        """The step that was begun."""
        return Step(self.step)

    def __str__(self) -> str:
        return (
            f"a rotation of trunk {self.trunk} from {self.old_name} to {self.new_name}, begun by {self.who} at"
            f" {self.started}, stands at its step '{self.step}'"
        )


class Rotations:
    """The rotations of a site: one file for each that is under way, and one line for each that ended."""

    def __init__(self, folder: Path) -> None:
        self.site = folder
        self.folder = folder / _FOLDER
        self.reports = self.folder / _REPORTS

    def under_way(self) -> list[State]:
        """Return the rotations that have not come to their end, by trunk; raise VosctlError for a file that is none."""
        names = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        return [_load(path) for path in names]

    def of(self, trunk: str) -> State | None:
        """Return the trunk's rotation under way, None where there is none."""
        path = self.path(trunk)
        return _load(path) if path.exists() else None

    def path(self, trunk: str) -> Path:
        """Return the file of a trunk's rotation; raise UsageError for a name that can be no file's."""
        if not _NAME.fullmatch(trunk):
            raise UsageError(f"trunk {trunk!r}: a rotation is kept under its name: letters, digits, . _ -")
        return self.folder / f"{trunk}.json"

    def save(self, state: State) -> None:
        """Write a rotation's state, in one step and onto the disk; raise OSError."""
        self.folder.mkdir(exist_ok=True)
        write(self.path(state.trunk), json.dumps({"format": FORMAT, **asdict(state)}, indent=1) + "\n")

    def forget(self, state: State) -> None:
        """Remove a rotation's state; one that came to nothing leaves no trace."""
        self.path(state.trunk).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def end(self, state: State, outcome: str) -> dict[str, Any]:
        """Add the report of a rotation that came to its end, take its state away, and return the report."""
        report = {"outcome": outcome, "ended": now(), **asdict(state)}
        report.pop("step")
        lines = self.reports.read_text(encoding="utf-8") if self.reports.exists() else ""
        # After a crash between the two, the same rotation ends again.
        kept = [line for line in lines.splitlines() if json.loads(line).get("id") != state.id]
        write(self.reports, "\n".join([*kept, json.dumps(report)]) + "\n")
        self.forget(state)
        return report

    @contextmanager
    def alone(self, who: str) -> Iterator[None]:
        """Hold this folder's site for one run; raise UsageError that names who holds it since when."""
        home = self.site / _HOME
        home.mkdir(exist_ok=True)
        ignore = home / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Written by vosctl: what became of its last runs here.\n*\n")
        handle = os.open(home / "rotation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = os.read(handle, 1000).decode(errors="replace").strip()
                raise UsageError(
                    f"a rotation is under way here, by {words or 'somebody'}", hint="wait for its end"
                ) from None
            os.ftruncate(handle, 0)
            os.write(handle, f"{who} since {now()}\n".encode())
            yield
        finally:
            os.close(handle)


def now() -> str:
    """Return the moment in UTC, as 2026-01-31T14:05:09Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _load(path: Path) -> State:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError("a later vosctl wrote it")  # noqa: TRY301  one kind of error for the caller
        state = State(**found)
        Step(state.step)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VosctlError(
            f"{path} is no state of a rotation: {error}", hint="take it from git again, or remove it"
        ) from error
    return state
