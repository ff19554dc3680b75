"""Lets a person edit plain text where only memory holds it, and only for as long as the editor runs."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vosctl.errors import InputError, UsageError

_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own below it, 0700


def edit(
    text: str, check: Callable[[str], str], *, editor: str, name: str, complain: Callable[[InputError], None]
) -> str:
    """Return what ``check`` makes of the edited text.

    The text stands in a 0600 file in memory (/dev/shm) that is removed however this ends, Ctrl-C and
    SIGTERM included. Where ``check`` raises InputError, ``complain`` says so and the editor opens
    again; text that stays wrong and unchanged raises the error.
    """
    with _private_folder() as folder:
        file = folder / name
        file.touch(mode=0o600)
        last = text
        file.write_bytes(text.encode())
        while True:
            _run((*shlex.split(editor), str(file)))
            edited = file.read_bytes().decode("utf-8", errors="replace")
            try:
                return check(edited)
            except InputError as error:
                if edited == last:
                    raise
                last = edited
                complain(error)


def _run(words: Sequence[str]) -> None:
    try:
        code = subprocess.run(words, check=False).returncode
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}", hint="set EDITOR") from error
    if code:
        raise UsageError(f"{words[0]} ended with code {code}; nothing was changed")


@contextmanager
def _private_folder() -> Iterator[Path]:
    base = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    folder = Path(tempfile.mkdtemp(prefix="vosctl-vault-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
