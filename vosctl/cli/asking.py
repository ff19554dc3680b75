"""Passwords and passphrases: from a file, from the environment, or asked for once on the terminal."""

from __future__ import annotations

import getpass
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import click

from vosctl.errors import UsageError
from vosctl.secret import Secret

PASSPHRASE_VARIABLE = "VOSCTL_SSH_PASSPHRASE"  # noqa: S105  a name
_OTHERS = 0o077


def from_file(path: Path, *, option: str) -> Secret:
    """Return the first line of a file that only its owner may read; raise UsageError where it has none."""
    try:
        with path.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            line = stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{path}: {reason}", hint=f"see {option}") from error
    if stat.S_ISREG(mode) and mode & _OTHERS:
        raise UsageError(f"{path}: others may read this file", hint=f"chmod 600 {path}")
    if not line:
        raise UsageError(f"{path}: the first line is empty", hint=f"{option} wants the secret there")
    return Secret(line)


def from_terminal(prompt: str, *, option: str) -> Secret:
    """Ask on the terminal, without showing what is typed; raise UsageError where there is no terminal."""
    try:
        with Path("/dev/tty").open("rb"):  # getpass would go on without one, and show what is typed
            return Secret(getpass.getpass(prompt))
    except OSError as error:
        raise UsageError("there is no terminal to ask on", hint=f"see {option}") from error
    except EOFError as error:
        raise UsageError("nothing was typed", hint=f"see {option}") from error


def file_option(flag: str, *, variable: str, help: str) -> Callable[[Callable[..., int]], Callable[..., int]]:  # noqa: A002  click's word
    """Return an option that names a file and gives its Secret, read before anything else is done."""

    def read(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Secret | None:
        return from_file(value, option=flag) if value is not None else None

    return click.option(flag, type=click.Path(path_type=Path), callback=read, envvar=variable, help=help)


def ask_option(
    flag: str,
    *,
    short: str,
    variable: str,
    prompt: str,
    help: str,  # noqa: A002  click's word
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a flag that asks on the terminal, before anything else is done, and gives the Secret."""

    def ask(_context: click.Context, _parameter: click.Parameter, value: object) -> Secret | None:
        return from_terminal(prompt, option=flag) if value else None

    return click.option(short, flag, is_flag=True, callback=ask, envvar=variable, help=help)


class Passphrases:
    """Opens key files: with the passphrase given, else by asking once a file, where there is a terminal."""

    def __init__(self, given: Secret | None) -> None:
        value = os.environ.get(PASSPHRASE_VARIABLE)
        self._given = given or (Secret(value) if value else None)
        self._lock = threading.Lock()

    def __call__(self, path: Path) -> Secret | None:
        """Return the passphrase for a key file, None where nobody can be asked."""
        if self._given is not None:
            return self._given
        with self._lock, _pauses[-1]():
            try:
                return from_terminal(f"Passphrase for {path}: ", option="--ssh-passphrase-file")
            except UsageError:
                return None


@contextmanager
def pausing(pause: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Enter ``pause`` around every question asked within: a live line would write over it."""
    _pauses.append(pause)
    try:
        yield
    finally:
        _pauses.remove(pause)


_pauses: list[Callable[[], AbstractContextManager[object]]] = [nullcontext]
