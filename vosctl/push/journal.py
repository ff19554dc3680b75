"""What became of the last runs, kept in the site's folder for ``--resume`` and ``--limit @failed``; no secrets in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct, field
from msgspec.structs import asdict

from vosctl.errors import VosctlError
from vosctl.push.result import HostResult, Status

FORMAT = 1
KEPT = 30
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}\.json")
DONE = frozenset({Status.OK.value, Status.CHANGED.value})


class Run(Struct):
    """One run of apply.

    ``batches``: node names; ``nodes``: each one's status (``untouched`` until it has one);
    ``fingerprint`` with ``salt``: the site's, see ``vosctl.push.fingerprint``; ``arguments``: how the
    site was named (``playbook``, ``inventory``, ``limit``); ``wishes``: what the command line said of
    batches; ``state``: ``running``, ``stopped`` or ``done``.
    """

    started: str
    holder: str
    revision: str | None
    salt: str
    fingerprint: str
    arguments: dict[str, Any]
    wishes: dict[str, Any]
    batches: list[list[str]]
    nodes: dict[str, str] = field(default_factory=dict)
    state: str = "running"

    @property
    def left(self) -> tuple[str, ...]:
        """The nodes that did not come to their wanted state, in the run's order."""
        return tuple(n for names in self.batches for n in names if self.nodes.get(n) not in DONE)


class Journal:
    """The runs below ``folder`` (a site's): ``.vosctl/runs/TIME.json``, the last ones only."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / ".vosctl"
        self.folder = self._home / "runs"

    def begin(self, run: Run) -> Entry:
        """Write a run's file; raise VosctlError where the folder cannot be written."""
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        entry = Entry(self.folder / f"{moment}-{uuid4().hex[:8]}.json", run)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self._home / ".gitignore"
            if not ignore.exists():
                ignore.write_text("# Written by vosctl: what became of its last runs here.\n*\n")
            entry.write()
            for name in self._names()[:-KEPT]:
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise VosctlError(
                f"{self.folder}: the run's journal cannot be written: {error.strerror}",
                hint="--resume and --limit @failed will not know of this run",
            ) from error
        return entry

    def last(self) -> Run | None:
        """Return the last run, None where there is none; raise VosctlError for a file that makes no sense."""
        names = self._names()
        if not names:
            return None
        path = self.folder / names[-1]
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found.pop("format")
            return Run(**found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise VosctlError(f"{path} is no journal of a run: {error}", hint="remove the file") from error

    def _names(self) -> list[str]:
        with suppress(OSError):
            return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return []


class Entry(Struct):
    """The file of one run that goes on."""

    path: Path
    run: Run

    def note(self, results: Mapping[str, HostResult]) -> None:
        """Remember how nodes came out; a disk that is full then is no reason to stop the run."""
        self.run.nodes.update({name: result.status.value for name, result in results.items()})
        self._try_to_write()

    def begin(self, nodes: Iterable[str]) -> None:
        """Remember that nodes are being changed: after an interrupt nobody knows how they stand."""
        self.run.nodes.update(dict.fromkeys(nodes, "unknown"))
        self._try_to_write()

    def end(self) -> None:
        """Remember that the run came to its end."""
        self.run.state = "stopped" if self.run.left else "done"
        self._try_to_write()

    def _try_to_write(self) -> None:
        with suppress(OSError):
            self.write()

    def write(self) -> None:
        """Replace the file atomically; raise OSError."""
        words = {"format": FORMAT, **asdict(self.run)}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
        new.replace(self.path)
