"""Finds and reads ``group_vars`` and ``host_vars``: a file or a folder for each group or host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vosctl.site.inventory.graph import Draft, Graph
from vosctl.site.problems import Problems
from vosctl.site.suggest import did_you_mean
from vosctl.site.text.loader import load_file, shown
from vosctl.site.tree import Mark
from vosctl.site.variables.source import variables

_SUFFIXES = (".yml", ".yaml", ".json")


def read_var_files(folder: Path, graph: Graph, problems: Problems) -> None:
    """Add the variables below ``folder`` to the groups and hosts of ``graph``.

    ``group_vars/NAME.yml`` (or .yaml, .json) comes first, then every such file in the folder
    ``group_vars/NAME/``, sorted by path. A name that the inventory lacks is a warning.
    """
    reader = _Reader(graph, problems)
    reader.read(folder / "group_vars", "group", graph.groups.get, list(graph.groups))
    reader.read(folder / "host_vars", "host", graph.hosts.get, list(graph.hosts))


class _Reader:
    def __init__(self, graph: Graph, problems: Problems) -> None:
        self._graph = graph
        self._problems = problems

    def read(self, folder: Path, kind: str, find: Callable[[str], Draft | None], known: list[str]) -> None:
        for entry in self._entries(folder):
            name = entry.name if entry.is_dir() else entry.stem
            draft = find(name)
            files = self._below(entry) if entry.is_dir() else [entry]
            if draft is None and self._graph.complete:
                self._problems.warn(f"unknown-{kind}", f"the inventory has no {kind} {name}{did_you_mean(name, known)}",
                                    Mark(shown(entry), 1, 1), hint="rename the file, or take it out")  # fmt: skip
            draft = draft or Draft(Mark(shown(entry), 1, 1))
            for file in files:
                source = variables(
                    f"{kind} {name}", load_file(file, shown(file), self._problems), self._problems
                )
                if source is not None:
                    draft.files.append(source)

    def _entries(self, folder: Path) -> list[Path]:
        """Return the files and folders for names: of one name, the file first."""
        try:
            entries = list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._unreadable(folder, error)
            return []
        kept = [entry for entry in entries if self._is_wanted(entry)]
        return sorted(
            kept, key=lambda entry: (entry.name if entry.is_dir() else entry.stem, entry.is_dir(), entry.name)
        )

    def _is_wanted(self, entry: Path) -> bool:
        if entry.name.startswith(".") or entry.name.endswith("~"):
            return False
        if entry.is_dir() or entry.suffix in _SUFFIXES:
            return True
        self._problems.warn("ignored-file", "not read: variables stand in files named .yml, .yaml or .json",
                            Mark(shown(entry), 1, 1), hint=f"rename it to {entry.name}.yml, or take it out")  # fmt: skip
        return False

    def _below(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        for where, folders, files in os.walk(folder, onerror=lambda error: self._unreadable(folder, error)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [path for path in (Path(where, name) for name in files) if self._is_wanted(path)]
        return sorted(found)

    def _unreadable(self, folder: Path, error: OSError) -> None:
        self._problems.error("file-unreadable", f"cannot be listed: {error.strerror}", Mark(shown(folder), 1, 1),
                             hint="check owner and mode of the folder")  # fmt: skip
