"""vosctl vault edit, view, set, encrypt, decrypt, import, check: what is done to single files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

import click

from vosctl.cli.asking import from_file, from_terminal
from vosctl.cli.screen import errors_to, print_json
from vosctl.cli.vault_keys import vault_options
from vosctl.errors import InputError, UsageError
from vosctl.report.problems import as_json, print_problems
from vosctl.secret import Secret
from vosctl.site.problems import Problem
from vosctl.site.text import lint
from vosctl.site.text.loader import shown
from vosctl.vault import editing, roster, work
from vosctl.vault.ansible import Password
from vosctl.vault.bringing import bring
from vosctl.vault.document import Document, parse
from vosctl.vault.keys import at_hand
from vosctl.vault.scan import check_file
from vosctl.vault.sealing import new_envelope
from vosctl.vault.seen import version_seen
from vosctl.vault.values import Typed, of_plain, string
from vosctl.vault.work import VaultFile

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_files = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
_AS_TEXT = "str"


@click.command(short_help="Change an encrypted file in your editor.")
@_file
@vault_options
def edit(file: Path) -> int:
    """Open FILE, decrypted, in $VISUAL or $EDITOR; encrypt it again when the editor is closed.

    What stands behind !secret is encrypted, and what stands where secrets stand. Values that you did
    not change keep their encrypted text, so that the diff shows only what you changed.
    """
    new = not file.exists()
    found = VaultFile(file, _empty(file), None) if new else work.open_file(file, at_hand())
    if found.opened is None:
        roster.needed_roster(file.absolute().parent)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    text = editing.edit(
        work.plain(found, marked=True),
        lambda edited: work.sealed(found, text=edited),
        editor=editor,
        name=file.name,
        complain=_complain,
    )
    _save(file, found.text, text)
    return 0


@click.command(short_help="Print a file, decrypted.")
@_file
@vault_options
def view(file: Path) -> int:
    """Print FILE with its secrets in plain text."""
    click.echo(work.plain(work.opened_file(file, at_hand())[0]), nl=False)
    return 0


@click.command("set", short_help="Set one value, encrypted.")
@_file
@click.argument("path")
@click.option("--value-file", type=click.Path(path_type=Path), help="File whose whole content is the value; - is standard input.")  # fmt: skip
@click.option("--type", "kind", default=_AS_TEXT, show_default=True,
              type=click.Choice([_AS_TEXT, "int", "bool", "null"]), help="What the value is.")  # fmt: skip
@vault_options
def set_value(file: Path, path: str, *, value_file: Path | None, kind: str) -> int:
    """Set the value at PATH (as keys.ab.value) of FILE; it is asked for, and never an argument.

    An entry that is not there yet is added. The last line end of a value file is not part of the value.
    """
    value = Secret("") if kind == "null" else _value(value_file, path)
    found = work.open_file(file, at_hand()) if file.exists() else VaultFile(file, _empty(file), None)
    _save(file, found.text, work.with_values(found, {path: _typed(value, kind)}))
    return 0


@click.command(short_help="Encrypt what is secret in files.")
@_files
@click.option("-p", "--path", "paths", multiple=True, help="Encrypt these paths too; * and ? fit anything.")
@click.option("--reseal", is_flag=True, help="Accept what was changed by hand since the file was sealed. See git diff first.")  # fmt: skip
@click.option("--newer", is_flag=True, help="Make it newer than any version that was applied from here.")
@vault_options
def encrypt(files: tuple[Path, ...], *, paths: tuple[str, ...], reseal: bool, newer: bool) -> int:
    """Encrypt the secrets in FILES: keys, passwords, webhooks, and what is marked !secret; seal the rest."""
    for file in files:
        found = work.open_file(file, at_hand(), altered=reseal)
        least = 0
        if newer and found.opened is not None:
            people = roster.find_roster(file.absolute().parent)
            folder = people.folder if people else Path()
            least = version_seen(folder, found.opened.header.identifier) + 1
        text = work.sealed(found, patterns=paths, serial=least)
        if found.opened is None and text == found.text:
            raise UsageError(f"{shown(file)}: no secret found to encrypt", hint="name its path with --path, or write !secret before it")  # fmt: skip
        _save(file, found.text, text)
    return 0


@click.command(short_help="Take the encryption off files.")
@_files
@vault_options
def decrypt(files: tuple[Path, ...]) -> int:
    """Write FILES with their secrets in plain text, as they would be without the vault."""
    for file in files:
        found, _ = work.opened_file(file, at_hand())
        roster.write(file, work.plain(found))
        click.echo(f"{shown(file)}: in plain text now; keep it out of git", err=True)
    return 0


@click.command("import", short_help="Bring files of ansible-vault over.")
@_files
@click.option("--ansible-password-file", multiple=True, metavar="[LABEL@]FILE",
              help="Password of ansible-vault; for 1.2 files with its label.")  # fmt: skip
@click.option("--ask-ansible-pass", is_flag=True, help="Ask for ansible-vault's password.")
@vault_options
def import_files(
    files: tuple[Path, ...], *, ansible_password_file: tuple[str, ...], ask_ansible_pass: bool
) -> int:
    """Rewrite FILES that ansible-vault encrypted, whole or value by value, as vosctl encrypts them."""
    passwords = [_labelled(each) for each in ansible_password_file]
    if ask_ansible_pass:
        passwords.append(Password(from_terminal("ansible-vault password: ", option="--ask-ansible-pass")))
    for file in files:
        people = roster.needed_roster(file.absolute().parent)
        envelope = new_envelope(people.recipients, people.removed)
        text, count = bring(roster.read(file), shown(file), tuple(passwords), envelope)
        roster.write(file, text)
        click.echo(
            f"{shown(file)}: {count} values encrypted for {', '.join(each.name for each in people.recipients)}"
        )
    return 0


@click.command(short_help="Look for plain secrets before a commit.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--open", "opening", is_flag=True, help="Open encrypted files too: proves that they are whole.")
@click.option("--json", "as_data", is_flag=True, envvar="VOSCTL_JSON", help="JSON, and nothing else, on standard output.")  # fmt: skip
@vault_options
def check(files: tuple[Path, ...], *, opening: bool, as_data: bool) -> int:
    """Find secrets in plain text, private keys and damaged encrypted files among FILES; for pre-commit."""
    keys = at_hand() if opening else None
    found: list[Problem] = []
    for file in files:
        text = file.read_bytes().decode("utf-8", errors="replace")
        found += check_file(file, text, shown(file), keys)
    if as_data:
        print_json({"ok": not found, "problems": as_json(found)})
    else:
        print_problems(errors_to(), found)
    return 1 if found else 0


def _empty(file: Path) -> Document:
    return parse("", shown(file))


def _save(file: Path, before: str, after: str) -> None:
    if before == after:
        click.echo(f"{shown(file)}: nothing changed", err=True)
        return
    roster.write(file, after)
    count = len(parse(after, shown(file)).tokens)
    click.echo(f"{shown(file)}: written, {count} value{'' if count == 1 else 's'} encrypted", err=True)


def _complain(error: InputError) -> None:
    console = errors_to()
    print_problems(console, cast("tuple[Problem, ...]", error.problems))
    if sys.stdin.isatty():
        click.pause("Press a key to edit again, Ctrl-C to leave everything as it was.", err=True)


def _value(file: Path | None, path: str) -> Secret:
    if file is None:
        return from_terminal(f"Value of {path}: ", option="--value-file")
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return Secret(data.decode().removesuffix("\n").removesuffix("\r"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{file}: {reason}", hint="see --value-file") from error


def _typed(value: Secret, kind: str) -> Typed:
    if kind == _AS_TEXT:
        return string(value.reveal())
    plain = lint.resolve(value.reveal() or "null")
    made = of_plain(plain, value.reveal())
    if plain.rule or made.kind != kind[0]:
        raise UsageError(f"the value is no {kind}", hint="--type str takes any text")
    return made


def _labelled(text: str) -> Password:
    label, at, file = text.rpartition("@")
    whole = Path(text) if not at or Path(text).exists() else Path(file)
    return Password(from_file(whole, option="--ansible-password-file"), label if whole == Path(file) else "")


COMMANDS = (edit, view, set_value, encrypt, decrypt, import_files, check)
