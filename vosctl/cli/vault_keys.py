"""Where passwords and identities for encrypted files come from: options, the environment, programs, the keyring."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from vosctl.cli.asking import from_file, from_terminal
from vosctl.errors import UsageError
from vosctl.secret import Secret
from vosctl.vault.keys import Keys, using
from vosctl.vault.recipients import Identity, parse_identity

PASSWORD_VARIABLE = "VOSCTL_VAULT_PASSWORD"  # noqa: S105  a name
_FILE_FLAG = "--vault-password-file"
_SECONDS = 60

Callback = Callable[..., int]
_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.option(_FILE_FLAG, "--vault-pass-file", "vault_password_file", multiple=True, type=_PATH,
                 envvar="VOSCTL_VAULT_PASSWORD_FILE",
                 help="File with the vault's password, or a program that prints it; or VOSCTL_VAULT_PASSWORD."),
    click.option("-J", "--ask-vault-pass", "ask_vault_pass", is_flag=True, envvar="VOSCTL_ASK_VAULT_PASS",
                 help="Ask for the vault's password, when a file needs it."),
    click.option("--vault-identity", multiple=True, type=_PATH, envvar="VOSCTL_VAULT_IDENTITY",
                 help="Identity file [default: ~/.config/vosctl/identity, if it is there]."),
    click.option("--vault-keyring", envvar="VOSCTL_VAULT_KEYRING", metavar="SERVICE",
                 help="Take the vault's password from the system's keyring (pip install 'vosctl[keyring]')."),
)  # fmt: skip


def vault_options(function: Callback) -> Callback:
    """Add the vault's options; while the command runs, encrypted files are opened with what they name."""

    @functools.wraps(function)
    def opening(
        *,
        vault_password_file: tuple[Path, ...],
        ask_vault_pass: bool,
        vault_identity: tuple[Path, ...],
        vault_keyring: str | None,
        **values: Any,
    ) -> int:
        def passwords() -> tuple[Secret, ...]:
            return tuple(_passwords(vault_password_file, vault_keyring, ask=ask_vault_pass))

        keys = Keys(identities=lambda: _identities(vault_identity), passwords=passwords)
        with using(keys):
            return function(**values)

    command: Callback = opening
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def default_identity() -> Path:
    """Return where one's own identity is kept."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "vosctl" / "identity"


def _identities(paths: tuple[Path, ...]) -> tuple[Identity, ...]:
    own = default_identity()
    found = paths or ((own,) if own.is_file() else ())
    return tuple(_identity(path) for path in found)


def _identity(path: Path) -> Identity:
    from_file(path, option="--vault-identity")  # looks at owner and mode
    return parse_identity(path.read_text(encoding="utf-8"), str(path))


def _passwords(files: tuple[Path, ...], service: str | None, *, ask: bool) -> Iterator[Secret]:
    for path in files:
        yield _from_program(path) if _is_program(path) else from_file(path, option=_FILE_FLAG)
    given = os.environ.pop(PASSWORD_VARIABLE, None)  # programs started from here need not have it
    if given:
        _given.append(Secret(given))
    yield from _given[-1:]
    if service:
        yield _from_keyring(service)
    if ask:
        yield from_terminal("Vault password: ", option="--ask-vault-pass")


_given: list[Secret] = []


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _from_program(path: Path) -> Secret:
    try:
        done = subprocess.run((str(path.absolute()),), stdout=subprocess.PIPE, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer in {_SECONDS} s"
        raise UsageError(
            f"{path} cannot be run: {reason}", hint=f"{_FILE_FLAG} names a program here"
        ) from error
    line = done.stdout.decode("utf-8", errors="replace").partition("\n")[0].rstrip("\r")
    if done.returncode or not line:
        raise UsageError(f"{path} ended with code {done.returncode} and no password", hint="run it by hand")
    return Secret(line)


def _from_keyring(service: str) -> Secret:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError as error:
        raise UsageError(
            "the keyring package is not installed", hint="pip install 'vosctl[keyring]'"
        ) from error
    try:
        found = keyring.get_password(service, "vosctl")
    except keyring.errors.KeyringError as error:
        raise UsageError(f"the keyring cannot be asked: {error}", hint="is it unlocked?") from error
    if not found:
        raise UsageError(f"the keyring has no password of {service}", hint=f"keyring set {service} vosctl")
    return Secret(found)
