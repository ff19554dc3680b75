"""What is done to encrypted files as a whole: seal, change, rekey, rewrap; callers write the text that comes back."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vosctl.errors import InputError, UsageError
from vosctl.site.text.loader import shown
from vosctl.site.tree import Mark
from vosctl.vault import roster, values
from vosctl.vault.document import SECRET_TAG, Document, Leaf, parse
from vosctl.vault.faults import refuse
from vosctl.vault.insert import insert, steps_of
from vosctl.vault.keys import Keys
from vosctl.vault.opening import Opened, is_intact, open_document
from vosctl.vault.roster import Roster
from vosctl.vault.sealing import (
    Envelope,
    decrypt,
    encrypt,
    envelope_of,
    is_wanted,
    new_envelope,
    rekeyed,
    rewrite,
)
from vosctl.vault.values import Typed


class VaultFile(Struct, frozen=True):
    """A file as it is; ``opened`` is None where nothing in it is encrypted yet."""

    path: Path
    document: Document
    opened: Opened | None

    @property
    def text(self) -> str:
        """The text as it stands in the file."""
        return self.document.text


def open_file(path: Path, keys: Keys, *, altered: bool = False) -> VaultFile:
    """Return a file, opened; ``altered`` as in ``open_document``. Raises InputError."""
    document = parse(roster.read(path), shown(path))
    return VaultFile(path, document, open_document(document, keys, altered=altered))


def opened_file(path: Path, keys: Keys) -> tuple[VaultFile, Opened]:
    """Return a file that must be encrypted; raise InputError where it is not."""
    file = open_file(path, keys)
    if file.opened is None:
        raise refuse("vault-plain", "nothing in this file is encrypted", Mark(shown(path), 1, 1),
                     hint=f"vosctl vault encrypt {shown(path)}")  # fmt: skip
    return file, file.opened


def sealed(
    file: VaultFile, *, patterns: tuple[str, ...] = (), text: str | None = None, serial: int = 0
) -> str:
    """Return the file's text, or the edited ``text``, with everything secret encrypted.

    Secret is what stands where secrets stand, is marked !secret, or whose path fits a pattern. The
    file's own text comes back where nothing would change; ``serial`` is the least version it gets.
    """
    document = file.document if text is None else parse(text, file.document.display)

    def wanted(leaf: Leaf) -> bool:
        return is_wanted(leaf) or any(fnmatchcase(leaf.name, pattern) for pattern in patterns)

    if file.opened is None and not any(map(wanted, document.leaves.values())):
        return document.text
    envelope = _envelope(file)
    least = max(envelope.serial, serial)
    result = encrypt(document, replace(envelope, serial=least), wanted=wanted, old=file.opened)
    same = file.opened is not None and parse(result, document.display).body == file.document.body
    return (
        file.text if same and file.opened and is_intact(file.opened) and least == envelope.serial else result
    )


def plain(file: VaultFile, *, marked: bool = False) -> str:
    """Return the text with its values and without the header."""
    return file.text if file.opened is None else decrypt(file.opened, marked=marked)


def with_values(file: VaultFile, changes: Mapping[str, Typed]) -> str:
    """Return the file's text with these values at these dotted paths, encrypted; new entries end their mapping."""
    document = file.document
    for name, value in changes.items():
        path = steps_of(document, name)
        text = f"{SECRET_TAG} {values.render(value)}"
        body = rewrite(document, {path: text}) if path in document.leaves else insert(document, path, text)
        document = parse(body, document.display)
    try:
        return encrypt(document, _envelope(file), old=file.opened)
    except InputError as error:  # what was put in broke the text: our mistake, not the operator's
        raise UsageError(f"{', '.join(changes)} cannot be put there: {roster.texts_of(error)}",
                         hint="vosctl vault edit") from error  # fmt: skip


def with_new_key(opened: Opened, people: Roster | None = None) -> str:
    """Return the text under a new data key, every value encrypted anew, for ``people`` where given."""
    envelope = rekeyed(envelope_of(opened))
    return encrypt(opened.document, _for(envelope, people), old=opened)


def with_recipients(opened: Opened, people: Roster) -> str:
    """Return the text for ``people``, under the same data key; values stay byte for byte."""
    header = opened.header
    if (header.recipients, header.removed) == (people.recipients, people.removed):
        return opened.document.text
    return encrypt(opened.document, _for(envelope_of(opened), people), old=opened)


def _for(envelope: Envelope, people: Roster | None) -> Envelope:
    if people is None:
        return envelope
    return replace(envelope, recipients=people.recipients, removed=people.removed)


def _envelope(file: VaultFile) -> Envelope:
    if file.opened is not None:
        return envelope_of(file.opened)
    people = roster.needed_roster(file.path.absolute().parent)
    return new_envelope(people.recipients, people.removed)
