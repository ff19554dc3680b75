"""Writing files so that a crash at any moment leaves the old file or the new one, never a mixture."""

from __future__ import annotations

import contextlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def staging(path: str) -> str:
    """Return where a file's next content is written: beside it, always the same name."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name[:200]}.vosctl-new"


def stage(path: str, data: bytes, *, mode: int = 0o644, uid: int = -1, gid: int = -1) -> None:
    """Write ``data`` beside ``path``, synced, ready for ``commit``; raises OSError."""
    name = staging(path)
    discard(name)
    create(name, data, mode=mode, uid=uid, gid=gid)


def create(path: str, data: bytes, *, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Write a new file, synced; its name still has to be. Raises OSError, and leaves no half of it then."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if uid >= 0 or gid >= 0:
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    except OSError:
        discard(path)
        raise
    finally:
        os.close(descriptor)


def commit(path: str) -> None:
    """Put the staged content in place (rename(2)); the folder still has to be synced."""
    os.replace(staging(path), path)


def write(path: str, data: bytes, *, mode: int = 0o644, uid: int = -1, gid: int = -1) -> None:
    """Write a whole file atomically and durably; raises OSError."""
    stage(path, data, mode=mode, uid=uid, gid=gid)
    commit(path)
    sync_folder(os.path.dirname(path))


def write_json(path: str, document: Any, *, mode: int = 0o600) -> None:
    """Write a JSON document atomically and durably; raises OSError."""
    write(path, packed(document), mode=mode)


def packed(document: Any) -> bytes:
    """Return a JSON document as it is stored."""
    return json.dumps(document, sort_keys=True).encode()


def read_json(path: str) -> Any:
    """Return the JSON document in a file, None where there is none or it is not JSON."""
    data = read(path)
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return None


def read(path: str) -> bytes | None:
    """Return what is in a file, None where there is none; raises OSError."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def link(path: str, target: str) -> None:
    """Point the symbolic link ``path`` at ``target``, atomically and durably; raises OSError."""
    name = staging(path)
    discard(name)
    os.symlink(target, name)
    os.replace(name, path)
    sync_folder(os.path.dirname(path))


def discard(path: str) -> bool:
    """Remove a file or link if it is there; return whether it was. Raises OSError."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)
        return True
    return False


def sync_folder(path: str) -> None:
    """Make the names in a folder durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: str, mode: int = 0o755) -> None:
    """Make a folder with ``mode`` and those above it, durably; raises OSError."""
    for folder in missing_folders(path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode if folder == path else 0o755)
        sync_folder(os.path.dirname(folder))


def missing_folders(path: str) -> list[str]:
    """Return those of a folder and the ones above it that do not exist, outermost first."""
    missing = []
    while path not in ("", "/") and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing[::-1]


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, links not followed; errors are left for the next time."""
    for folder, names, files in os.walk(path, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/{name}")
        for name in names:
            with contextlib.suppress(OSError):
                below = f"{folder}/{name}"
                os.unlink(below) if os.path.islink(below) else os.rmdir(below)
    with contextlib.suppress(OSError):
        os.rmdir(path)
