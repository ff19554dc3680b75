"""Where a trunk and its keys are written, and how these files are changed: in one step each, sealed where they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, field

from vosctl.errors import UsageError
from vosctl.site.inventory.load import Inventory
from vosctl.site.problems import Problems
from vosctl.site.read import SiteOptions, read_inputs
from vosctl.site.tree import Mapping as Tree
from vosctl.site.tree import Mark
from vosctl.vault import roster
from vosctl.vault.document import Document, parse
from vosctl.vault.keys import at_hand
from vosctl.vault.sealing import encrypt, envelope_of
from vosctl.vault.work import VaultFile, open_file

Change = Callable[[Document], str]


class Place(Struct, frozen=True):
    """The file that a trunk is written in, and the one that its key is (the same, often)."""

    trunk: Path
    keys: Path


def place_of(options: SiteOptions, trunk: str, key: str | None) -> Place:
    """Return where ``trunk`` and ``key`` are written; without a key, new ones go beside the trunk.

    Raises InputError where the site cannot be read, UsageError where either is not in one file of variables.
    """
    problems = Problems()
    inventory = read_inputs(options, problems).inventory
    problems.raise_errors()
    of_trunk = _only(inventory, "trunks", trunk)
    return Place(of_trunk, of_trunk if key is None else _only(inventory, "keys", key))


def file_of(options: SiteOptions, key: str) -> Path | None:
    """Return the file that a key is written in, None where it is in none; raises as ``place_of``."""
    problems = Problems()
    inventory = read_inputs(options, problems).inventory
    problems.raise_errors()
    return _only(inventory, "keys", key) if any(_marks(inventory, "keys", key)) else None


def _only(inventory: Inventory, kind: str, name: str) -> Path:
    found = list(dict.fromkeys(_marks(inventory, kind, name)))
    files = [Path(mark.file) for mark in found]
    if len(found) == 1 and files[0].is_file():
        return files[0]
    where = ", ".join(map(str, found)) or "no file of variables"
    raise UsageError(
        f"{kind}.{name} is written in {where}; a rotation changes it in one file of group_vars or host_vars",
        hint="write it in one place, or change the key by hand: docs/rotation.md",
    )


def _marks(inventory: Inventory, kind: str, name: str) -> Iterator[Mark]:
    for source in inventory.sources:
        tree = source.tree.items.get(kind)
        if isinstance(tree, Tree) and name in tree.items:
            # An entry in a hosts file or of a program is named, and then refused: it is no file of variables.
            mark = tree.key_marks[name]
            yield mark if not source.inline else Mark(f"{mark} (inline)", mark.line, mark.column)


class Edits(Struct):
    """The files that a step changed, and what they were before it."""

    before: dict[Path, str] = field(default_factory=dict)

    def make(self, path: Path, change: Change) -> bool:
        """Change a file and return whether that changed anything; an encrypted file is sealed again."""
        file = open_file(path, at_hand())
        body = change(file.document)
        if body == file.document.body:
            return False
        text = _sealed(file, body)
        self.before.setdefault(path, file.text)
        roster.write(path, text)
        return True

    def undo(self) -> None:
        """Put every file back, byte for byte."""
        for path, text in reversed(self.before.items()):
            roster.write(path, text)
        self.before.clear()


def _sealed(file: VaultFile, body: str) -> str:
    if file.opened is None:
        return body
    return encrypt(parse(body, file.document.display), envelope_of(file.opened), old=file.opened)


def read_document(path: Path) -> Document:
    """Return a file as it is, its values sealed where they are."""
    return open_file(path, at_hand()).document
