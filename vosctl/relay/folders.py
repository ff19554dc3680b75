"""The folders that the relay writes to, made and given to its user by root, before the relay starts."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Dict

from vosctl.errors import RelayError
from vosctl.relay.paths import RelayPaths
from vosctl.relay.privileges import Account

STATE = Path("/var/lib/vosctl-relay")
# Where Debian's node exporter reads text files: made for others to write to, by name and by purpose.
COLLECTOR = Path("/var/lib/prometheus/node-exporter")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def prepare(paths: RelayPaths, account: Account) -> None:
    """Give ``account`` the run folder, ``STATE``, the folder of recordings, and a place among the collector's files.

    Links are never followed: whoever holds one of the folders by now cannot have another one given to
    it. Raises ``RelayError``.
    """
    tree = _tree(paths.config)
    try:
        for folder, mode in ((paths.run, 0o755), (STATE, 0o750)):
            _give(folder, mode, account)
        recordings = Path(str(tree.get("recordings") or STATE))
        if not _is_below(recordings, paths.run) and not _is_below(recordings, STATE):
            _give(recordings, 0o700, account, only_fresh=True)
        if Path(str(_dict(tree.get("metrics")).get("textfile") or "/")).parent == COLLECTOR:
            _let_in(COLLECTOR, account)
    except OSError as error:
        message = f"{error.filename}: cannot be given to {account.name}: {error.strerror}"
        raise RelayError(message, hint="a folder is wanted there, no link, and root's rights") from error


def _tree(config: Path) -> Dict[str, Any]:
    # What is wrong with it the relay says itself.
    try:
        return _dict(json.loads(config.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def _dict(value: object) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_below(path: Path, folder: Path) -> bool:
    return folder == path or folder in path.parents


def _give(folder: Path, mode: int, account: Account, *, only_fresh: bool = False) -> None:
    """Make the folder, or take it over from root with all that an earlier relay left in it.

    ``only_fresh``: one that was there may be for others too; it stays as it is, unless it is root's alone.
    """
    fresh = not os.path.lexists(folder)
    if fresh:
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        now = os.fstat(descriptor)
        if now.st_uid == account.uid or (only_fresh and not fresh and now.st_mode & 0o077):
            return
        if not now.st_mode & _OTHERS_MAY_WRITE:
            # Only root can have put anything there, so no hard link to a file of somebody else's.
            _give_all(descriptor, account)
        os.fchown(descriptor, account.uid, account.gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _give_all(descriptor: int, account: Account) -> None:
    for _, folders, names, within in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
        for name in (*folders, *names):
            os.chown(name, account.uid, account.gid, dir_fd=within, follow_symlinks=False)


def _let_in(folder: Path, account: Account) -> None:
    """Let the account's group write to a folder that exists."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fchown(descriptor, -1, account.gid)
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | stat.S_IRWXG)
    finally:
        os.close(descriptor)
