"""vosctl vault: the group, and who can read: init, keygen, recipients, rekey, rewrap."""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec.structs import replace

from vosctl.cli import vault_files, vault_git
from vosctl.cli.asking import from_file, from_terminal
from vosctl.cli.vault_keys import default_identity, vault_options
from vosctl.errors import UsageError
from vosctl.secret import Secret
from vosctl.site.text.loader import shown
from vosctl.vault import git, roster, work
from vosctl.vault.keys import at_hand
from vosctl.vault.primitives import Cost
from vosctl.vault.recipients import (
    Recipient,
    Removed,
    checked_name,
    new_identity,
    parse_public,
    with_passphrase,
)
from vosctl.vault.roster import Roster

_SHORTEST = 12
_files = click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
_cost = click.option("--cost", default=17, show_default=True, type=click.IntRange(10, 17), envvar="VOSCTL_VAULT_COST",
                     help="Work to try one passphrase: scrypt with 2^COST; 17 takes 128 MiB.")  # fmt: skip
_new_password = click.option("--new-password-file", type=click.Path(path_type=Path),
                             help="File with the new passphrase; else it is asked for, twice.")  # fmt: skip


@click.group(short_help="Secrets in git: encrypted values in YAML files.")
def vault() -> None:
    """Keep keys and passwords in git, each value encrypted for those who may read it."""


@vault.command(short_help="Begin: say who can read, and tell git about it.")
@click.option("--passphrase", default="operators", show_default=True, metavar="NAME",
              help="Name of the first passphrase; '' for none.")  # fmt: skip
@click.option("--recipient", "recipients", multiple=True, metavar="NAME=vosctl-pub-…", help="One who reads with an identity.")  # fmt: skip
@click.option("--git", "with_git", is_flag=True, help="Write .gitattributes and this clone's git config.")
@_cost
@_new_password
def init(
    *, passphrase: str, recipients: tuple[str, ...], with_git: bool, cost: int, new_password_file: Path | None
) -> int:
    """Write vault-recipients.yml in this folder, the site's; with --git in a clone that has it, only set git up."""
    folder = Path.cwd()
    if not (folder / roster.NAME).exists():
        people = [_named(text) for text in recipients]
        if passphrase:
            password = _fresh_password(new_password_file)
            people.insert(0, with_passphrase(checked_name(passphrase), password, Cost(2**cost))[0])
        Roster(folder / roster.NAME, _distinct(people)).save()
        click.echo(f"{roster.NAME}: {', '.join(each.label for each in people)}; commit it")
    elif not with_git:
        raise UsageError(
            f"there is a {roster.NAME} already", hint="vosctl vault recipients add, or init --git"
        )
    if with_git:
        for line in git.set_up(folder):
            click.echo(line)
    else:
        click.echo("for diffs and merges: vosctl vault init --git, or by hand:")
        click.echo(
            "\n".join(
                f"  {line}"
                for line in (*(f".gitattributes: {each}" for each in git.ATTRIBUTES), *git.lines())
            )
        )
    click.echo("next: vosctl vault encrypt FILES")
    return 0


@vault.command(short_help="Make an identity: a key pair of your own.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="File [default: ~/.config/vosctl/identity]."
)
def keygen(*, out: Path | None) -> int:
    """Write a new identity to a file that only you can read, and print its public half for your colleagues."""
    path = out or default_identity()
    identity = new_identity(str(path))
    public = Recipient("me", identity.public).text
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="an identity is never written over; name another file with -o") from error  # fmt: skip
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(
            f"# A vosctl identity, made {roster.today()}. Who has this file reads what was encrypted for it.\n"
        )
        stream.write(f"# public: {public}\n{identity.private.reveal()}\n")
    click.echo(public)
    click.echo(f"{path}: written. Ask a reader: vosctl vault recipients add YOUR-NAME {public}", err=True)
    return 0


@vault.group(short_help="Who can read this site's secrets.")
def recipients() -> None:
    """List, add and remove those who can read; files are brought along."""


@recipients.command("list")
def list_recipients() -> int:
    """Print who can read, and who could once."""
    people = roster.needed_roster(Path.cwd())
    for each in people.recipients:
        click.echo(f"{each.name:<24} {'passphrase' if each.passphrase else each.text}")
    for gone in people.removed:
        click.echo(f"{gone.name:<24} removed on {gone.on}")
    return 0


@recipients.command("add")
@click.argument("name")
@click.argument("public", required=False)
@click.option("--passphrase", is_flag=True, help="A passphrase instead of a public key.")
@_cost
@_new_password
@vault_options
def add(name: str, public: str | None, *, passphrase: bool, cost: int, new_password_file: Path | None) -> int:
    """Let NAME read, with the identity whose public half is PUBLIC, or a new passphrase."""
    if bool(public) == passphrase:
        raise UsageError(
            "give a public key, or --passphrase", hint="vosctl vault keygen prints one's public key"
        )
    people = roster.needed_roster(Path.cwd())
    if public:
        one = Recipient(checked_name(name), parse_public(public))
    else:
        one = with_passphrase(checked_name(name), _fresh_password(new_password_file), Cost(2**cost))[0]
    removed = tuple(gone for gone in people.removed if gone.public != one.public)
    return _brought_along(replace(people, recipients=_distinct([*people.recipients, one]), removed=removed))


@recipients.command("remove")
@click.argument("name")
@vault_options
def remove(name: str) -> int:
    """Let NAME read no more: every file gets a new data key. What NAME has read, NAME knows: rotate it."""
    people = roster.needed_roster(Path.cwd())
    gone = people.find(name)
    left = tuple(each for each in people.recipients if each != gone)
    if not left:
        raise UsageError(f"{name} is the last one who can read", hint="add another recipient first")
    record = Removed(gone.name, gone.public, roster.today())
    _brought_along(replace(people, recipients=left, removed=(*people.removed, record)), rekey=True)
    click.echo(
        f"{name} has read what was there until now, and git keeps it: change the keys and passwords themselves"
    )
    return 0


@vault.command(short_help="Give files a new data key.")
@_files
@vault_options
def rekey(files: tuple[Path, ...]) -> int:
    """Encrypt every value of FILES (all encrypted files of the site) anew, under new data keys."""
    for file in files or _all():
        _, opened = work.opened_file(file, at_hand())
        roster.write(file, work.with_new_key(opened))
        click.echo(f"{shown(file)}: new data key")
    return 0


@vault.command(short_help="Bring files to the site's recipients.")
@_files
@vault_options
def rewrap(files: tuple[Path, ...]) -> int:
    """Make FILES (all encrypted files of the site) readable for the site's recipients; values stay as they are."""
    people = roster.needed_roster(Path.cwd())
    return _brought_along(people, files=files, save=False)


def _all() -> list[Path]:
    people = roster.needed_roster(Path.cwd())
    return list(roster.encrypted_files(people.folder))


def _brought_along(
    people: Roster, *, rekey: bool = False, files: tuple[Path, ...] = (), save: bool = True
) -> int:
    """Bring the files to these recipients: all are opened before the first is written."""
    found = files or tuple(roster.encrypted_files(people.folder))
    opened = [(file, work.opened_file(file, at_hand())[1]) for file in found]
    texts = [
        (file, work.with_new_key(each, people) if rekey else work.with_recipients(each, people))
        for file, each in opened
    ]
    if save:
        people.save()
    for file, text in texts:
        roster.write(file, text)
        click.echo(
            f"{shown(file)}: {'new data key, ' if rekey else ''}for {', '.join(each.name for each in people.recipients)}"
        )
    if not texts:
        click.echo("no encrypted files yet")
    return 0


def _named(text: str) -> Recipient:
    name, equals, public = text.partition("=")
    if not equals:
        raise UsageError(
            f"{text!r} is no NAME=vosctl-pub-…", hint="vosctl vault keygen prints one's public key"
        )
    return Recipient(checked_name(name), parse_public(public))


def _distinct(people: list[Recipient]) -> tuple[Recipient, ...]:
    names = [each.name for each in people]
    keys = [each.public for each in people]
    twice = next(
        (each.name for each in people if names.count(each.name) > 1 or keys.count(each.public) > 1), None
    )
    if twice:
        raise UsageError(
            f"{twice} is there twice", hint="vosctl vault recipients list; remove the old one first"
        )
    if not people:
        raise UsageError("nobody could read", hint="give --passphrase NAME or --recipient NAME=vosctl-pub-…")
    return tuple(people)


def _fresh_password(file: Path | None) -> Secret:
    if file is not None:
        password = from_file(file, option="--new-password-file")
    else:
        password = from_terminal("New vault passphrase: ", option="--new-password-file")
        if password != from_terminal("Once more: ", option="--new-password-file"):
            raise UsageError("the two differ", hint="try again")
    if len(password) < _SHORTEST:
        raise UsageError(
            f"the passphrase has {len(password)} characters",
            hint=f"take {_SHORTEST} or more: four words that you draw",
        )
    return password


for command in (*vault_files.COMMANDS, *vault_git.COMMANDS):
    vault.add_command(command)

COMMANDS = (vault,)
