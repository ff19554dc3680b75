"""A site's recipients file, ``vault-recipients.yml``, and the encrypted files around it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

from vosctl.errors import InputError, UsageError
from vosctl.site.problems import Problems
from vosctl.site.text.loader import read_file, shown
from vosctl.vault.document import HEADER, parse
from vosctl.vault.header import read_recipients, render_recipients
from vosctl.vault.recipients import Recipient, Removed

NAME = "vault-recipients.yml"
_SUFFIXES = (".yml", ".yaml")
_NOTE = (
    "# Who can read this site's secrets; nothing in here is secret. New files are encrypted for all of them.",
    "# Change it with: vosctl vault recipients add | remove",
)


class Roster(Struct, frozen=True):
    """Who is to read a site's secrets; ``path`` is the file."""

    path: Path
    recipients: tuple[Recipient, ...] = ()
    removed: tuple[Removed, ...] = ()

    @property
    def folder(self) -> Path:
        """The site's folder."""
        return self.path.parent

    def find(self, name: str) -> Recipient:
        """Return the recipient of that name; raise UsageError where there is none."""
        for recipient in self.recipients:
            if recipient.name == name:
                return recipient
        known = ", ".join(each.name for each in self.recipients)
        raise UsageError(f"no recipient is called {name}", hint=f"there are: {known or 'none'}")

    def save(self) -> None:
        """Write the file."""
        lines = [*_NOTE, *render_recipients(self.recipients, self.removed, "", {})]
        write(self.path, "\n".join(lines) + "\n")


def find_roster(start: Path) -> Roster | None:
    """Return the recipients file of the folder ``start`` or the nearest above it."""
    whole = start.absolute()
    for folder in (whole, *whole.parents):
        if (folder / NAME).is_file():
            path = folder / NAME
            recipients, removed = read_recipients(parse(read(path), shown(path)))
            return Roster(path, recipients, removed)
    return None


def needed_roster(start: Path) -> Roster:
    """Return the recipients file; raise UsageError where there is none."""
    found = find_roster(start)
    if found is None:
        raise UsageError(f"there is no {NAME} here or in a folder above", hint="vosctl vault init makes one")
    return found


def encrypted_files(folder: Path) -> Iterator[Path]:
    """Yield every encrypted YAML file below a folder, sorted; hidden folders are left out."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if name.endswith(_SUFFIXES) and is_encrypted(path):
                yield path


def is_encrypted(path: Path) -> bool:
    """Whether a file has the vault's block."""
    try:
        return f"\n{HEADER}:" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def read(path: Path) -> str:
    """Return a file's text; raise InputError where it cannot be read."""
    problems = Problems()
    text = read_file(path, shown(path), problems)
    problems.raise_errors()
    assert text is not None
    return text


def write(path: Path, text: str) -> None:
    """Replace a file in one step, on the disk when this returns; it keeps its mode."""
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(mode if mode is not None else 0o666 & ~umask)
        Path(name).replace(path)
        _sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def today() -> str:
    """Return the day in UTC, as YYYY-MM-DD."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def texts_of(error: InputError) -> str:
    """Return an error's problems in lines."""
    return "\n".join(str(problem) for problem in error.problems)
