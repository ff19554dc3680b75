"""The options that commands share, parsed into one frozen object; every flag has its VOSCTL_ variable."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import fields

from vosctl.cli.asking import ask_option, file_option
from vosctl.cli.screen import Wish
from vosctl.cli.vault_keys import vault_options
from vosctl.secret import Secret

Callback = Callable[..., int]


class SiteArguments(Struct, frozen=True):
    """Which site, which nodes of it, and variables from the command line."""

    playbook: Path | None
    inventory: tuple[Path, ...]
    limit: str | None
    extra_vars: tuple[str, ...]
    json: bool
    verbose: int


class NodeArguments(Struct, frozen=True):
    """How nodes are reached and how many at once. Times are in seconds."""

    forks: int
    connect_timeout: float
    timeout: float
    user: str | None
    private_key: Path | None
    ssh_config: Path | None
    known_hosts: Path | None
    transport: str
    persist: float | None
    connection: str | None
    tries: int
    password_file: Secret | None
    ask_pass: Secret | None
    become_password_file: Secret | None
    ask_become_pass: Secret | None
    ssh_passphrase_file: Secret | None


class _Line(click.types.StringParamType):
    """Text that may hold blanks; an environment variable gives several of them, a line each."""

    envvar_list_splitter = "\n"


_PATH = click.Path(path_type=Path)

_SITE_OPTIONS = (
    click.option("-i", "--inventory", multiple=True, type=_PATH, envvar="VOSCTL_INVENTORY",
                 help="Inventory file, folder or program; may be repeated."),
    click.option("-l", "--limit", envvar="VOSCTL_LIMIT",
                 help="Only these nodes: names, groups, globs, a:b, !x, &x, ~regex, @file."),
    click.option("-e", "--extra-vars", multiple=True, type=_Line(), envvar="VOSCTL_EXTRA_VARS",
                 help="key=value, {yaml} or @file; wins over every other layer."),
    click.option("--json", is_flag=True, envvar="VOSCTL_JSON",
                 help="JSON, and nothing else, on standard output."),
    click.option("-v", "--verbose", count=True, envvar="VOSCTL_VERBOSE", help="Say more; -vv says most."),
)  # fmt: skip

_NODE_OPTIONS = (
    click.option("-f", "--forks", default=50, show_default=True, type=click.IntRange(1, 1000),
                 envvar="VOSCTL_FORKS", help="How many nodes at once."),
    click.option("--connect-timeout", default=10.0, show_default=True, type=click.FloatRange(0.1),
                 envvar="VOSCTL_CONNECT_TIMEOUT", help="Seconds to reach a node and log in."),
    click.option("-T", "--timeout", default=300.0, show_default=True, type=click.FloatRange(1),
                 envvar="VOSCTL_TIMEOUT", help="Seconds that the work on one node may take."),
    click.option("-u", "--user", envvar="VOSCTL_USER", help="Log in as this user."),
    click.option("--private-key", "--key-file", "private_key", type=_PATH, envvar="VOSCTL_PRIVATE_KEY",
                 help="SSH private key."),
    click.option("--ssh-config", type=_PATH, envvar="VOSCTL_SSH_CONFIG",
                 help="ssh_config file [default: ~/.ssh/config]."),
    click.option("--known-hosts", type=_PATH, envvar="VOSCTL_KNOWN_HOSTS",
                 help="known_hosts file [default: ~/.ssh/known_hosts]."),
    click.option("--transport", default="auto", show_default=True, envvar="VOSCTL_TRANSPORT",
                 type=click.Choice(["auto", "paramiko", "asyncssh"]), help="The library that speaks SSH."),
    click.option("--persist", type=click.FloatRange(0), envvar="VOSCTL_PERSIST", metavar="SECONDS",
                 help="Hold connections so long for the next run; 0: do not [default: ControlPersist of ssh_config]."),
    click.option("-c", "--connection", type=click.Choice(["local"]), envvar="VOSCTL_CONNECTION",
                 help="local: this machine is the node that --limit names; no SSH."),
    click.option("--tries", default=1, show_default=True, type=click.IntRange(1, 10), envvar="VOSCTL_TRIES",
                 help="How often to try to reach a node before anything was asked of it."),
    file_option("--ssh-passphrase-file", variable="VOSCTL_SSH_PASSPHRASE_FILE",
                help="File with the passphrase of the private key; or VOSCTL_SSH_PASSPHRASE."),
    ask_option("--ask-pass", short="-k", variable="VOSCTL_ASK_PASS", prompt="SSH password: ",
               help="Ask for a password to log in with where no key opens."),
    file_option("--password-file", variable="VOSCTL_PASSWORD_FILE", help="File with that password."),
    ask_option("--ask-become-pass", short="-K", variable="VOSCTL_ASK_BECOME_PASS",
               prompt="BECOME password: ", help="Ask for sudo's password, for nodes with become: true."),
    file_option("--become-password-file", variable="VOSCTL_BECOME_PASSWORD_FILE",
                help="File with sudo's password."),
)  # fmt: skip


def site_options(function: Callback) -> Callback:
    """Add the playbook argument and the site options; the command gets one ``site: SiteArguments``.

    Encrypted files are opened with what the vault's options name.
    """
    playbook = click.argument("playbook", required=False, type=_PATH, envvar="VOSCTL_PLAYBOOK")
    return vault_options(grouped(function, "site", SiteArguments, (playbook, *_SITE_OPTIONS)))


def site_options_beside_files(function: Callback) -> Callback:
    """Add the site options with the playbook as an option: the command's arguments are files of its own."""
    playbook = click.option(
        "--playbook", "-p", type=_PATH, envvar="VOSCTL_PLAYBOOK", help="The playbook that chooses nodes."
    )
    return vault_options(grouped(function, "site", SiteArguments, (playbook, *_SITE_OPTIONS)))


def node_options(function: Callback) -> Callback:
    """Add the connection options; the command gets one ``nodes: NodeArguments``."""
    return grouped(function, "nodes", NodeArguments, _NODE_OPTIONS)


def grouped(
    function: Callback, name: str, group: Any, options: Sequence[Callable[[Callback], Callback]]
) -> Callback:
    """Add ``options`` and hand them to ``function`` as one ``group`` object, whose fields they are."""

    @functools.wraps(function)
    def gather(**values: Any) -> int:
        made = group(**{field.name: values.pop(field.name) for field in fields(group)})
        _remember(made)
        return function(**values, **{name: made})

    command: Callback = gather
    for option in reversed(options):
        command = option(command)
    return command


def _remember(made: object) -> None:
    wish = click.get_current_context().find_object(Wish)
    if wish is not None and isinstance(made, SiteArguments):
        wish.json = made.json
