"""The inventory: hosts, the groups they are in, and where each one's variables come from."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from pathlib import Path

from msgspec import Struct, field

from vosctl.site.inventory.graph import ALL, Graph
from vosctl.site.inventory.hosts import read_hosts
from vosctl.site.inventory.program import read_program
from vosctl.site.inventory.varfiles import read_var_files
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_file, shown
from vosctl.site.tree import Mark, Value
from vosctl.site.variables.merge import Merger
from vosctl.site.variables.source import Source

_YAML = (".yml", ".yaml", ".json")
_PEEK = 65536
_INI_SECTION = re.compile(rb"^\[[A-Za-z_][\w-]*(?::(?:vars|children))?\]\s*$", re.MULTILINE)
_IGNORED = (".bak", ".cfg", ".ini", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rst", ".txt", "~")


class Group(Struct, frozen=True, eq=False):
    """A group with all its members, its children's included: its own first, then level by level.

    ``depth`` is the longest way down from ``all``; ``sources`` are its variables, later wins.
    """

    name: str
    mark: Mark
    depth: int
    hosts: tuple[str, ...]
    sources: tuple[Source, ...]


class Host(Struct, frozen=True, eq=False):
    """A host with all its groups in the order in which their variables apply: parents first, then by name."""

    name: str
    mark: Mark
    groups: tuple[str, ...]
    sources: tuple[Source, ...]


class Inventory(Struct, frozen=True, eq=False):
    """Hosts by name in the order of the group ``all``, groups in the order in which they were written.

    ``documents`` are the trees of the hosts files for the schema ``hosts.json``, which finds what
    is malformed in them: malformed parts are left out here. ``sources`` are all variables. Where
    not ``complete``, some hosts or groups could not be read, and unknown names are no wonder.
    """

    hosts: MappingABC[str, Host]
    groups: MappingABC[str, Group]
    documents: tuple[Value, ...]
    complete: bool = True
    merger: Merger = field(default_factory=Merger)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source of variables once: those of groups, then those of hosts."""
        owners: tuple[Group | Host, ...] = (*self.groups.values(), *self.hosts.values())
        return tuple(dict.fromkeys(source for owner in owners for source in owner.sources))


def load_inventory(paths: tuple[Path, ...], problems: Problems) -> Inventory:
    """Return the inventory of files, folders and programs together; later ones win.

    A folder holds hosts files or programs, ``group_vars`` and ``host_vars``; a file's or program's
    ``group_vars`` and ``host_vars`` stand beside it.
    """
    graph = Graph(problems)
    documents: list[Value] = []
    folders: dict[Path, None] = {}
    for path in paths:
        folders[path if path.is_dir() else path.parent] = None
        for file in _files(path, problems):
            document = _read(file, graph, problems)
            if document is not None:
                documents.append(document)
    graph.close()
    for folder in folders:
        read_var_files(folder, graph, problems)
    return _inventory(graph, tuple(documents))


def _files(path: Path, problems: Problems) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        problems.error("file-unreadable", f"cannot be listed: {error.strerror}", Mark(shown(path), 1, 1),
                       hint="check owner and mode of the folder")  # fmt: skip
        return []
    found = [entry for entry in entries if _is_inventory_file(entry)]
    if not found:
        problems.error("inventory-empty", "the folder holds no hosts file", Mark(shown(path), 1, 1),
                       hint=f"write {shown(path / 'hosts.yml')}, or name the inventory with -i")  # fmt: skip
    return found


def _is_inventory_file(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(_IGNORED) or not path.is_file():
        return False
    return path.suffix in _YAML or path.name == "hosts" or _is_program(path)


def _is_program(path: Path) -> bool:
    """Whether Ansible would run the file; on some file systems every file may be executed, so its content counts."""
    try:
        if path.suffix in _YAML or not path.is_file() or not path.stat().st_mode & 0o111:
            return False
        with path.open("rb") as file:
            return file.read(4).startswith((b"#!", b"\x7fELF"))
    except OSError:
        return False


def _read(path: Path, graph: Graph, problems: Problems) -> Value | None:
    if _is_program(path):
        read_program(path, graph, problems)
        return None
    tree = None if _is_foreign(path, problems) else load_file(path, shown(path), problems)
    if tree is None:
        graph.complete = False
    else:
        read_hosts(tree, graph, problems)
    return tree


def _is_foreign(path: Path, problems: Problems) -> bool:
    """Return whether a file is a program that cannot be run or an INI inventory, which is then a problem."""
    if path.suffix in _YAML:
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(_PEEK)
    except OSError:
        return False  # the loader says what is wrong
    mark = Mark(shown(path), 1, 1)
    if beginning.startswith(b"#!"):
        problems.error(
            "inventory-program", "a program that nobody may execute", mark, hint=f"chmod +x {mark.file}"
        )
        return True
    if _INI_SECTION.search(beginning):
        problems.error("inventory-ini", "an INI inventory; vosctl reads YAML and programs", mark,
                       hint=f"convert it: ansible-inventory -i {mark.file} --list --yaml > hosts.yml")  # fmt: skip
        return True
    return False


def _inventory(graph: Graph, documents: tuple[Value, ...]) -> Inventory:
    depths = graph.depths()
    members = graph.members()
    groups = {
        name: Group(name, draft.mark, depths[name], members[name], (*draft.inline, *draft.files))
        for name, draft in graph.groups.items()
    }
    of_host: dict[str, list[str]] = {name: [] for name in graph.hosts}
    for name in sorted(groups, key=lambda name: (depths[name], name)):
        for host in members[name]:
            of_host[host].append(name)
    hosts = {
        name: Host(name, draft.mark, tuple(of_host[name]), (*draft.inline, *draft.files))
        for name, draft in ((name, graph.hosts[name]) for name in members[ALL])
    }
    return Inventory(hosts, groups, documents, graph.complete)
