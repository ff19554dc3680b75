"""The options that commands share, parsed into one frozen object; every flag has its VOSCTL_ variable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vosctl.cli.screen import Wish


@dataclass(frozen=True, slots=True)
class SiteArguments:
    """Which site, which nodes of it, and variables from the command line."""

    playbook: Path | None
    inventory: tuple[Path, ...]
    limit: str | None
    extra_vars: tuple[str, ...]
    json: bool
    verbose: int


@dataclass(frozen=True, slots=True)
class NodeArguments:
    """How nodes are reached and how many at once. Times are in seconds."""

    forks: int
    connect_timeout: float
    timeout: float
    user: str | None
    private_key: Path | None
    ssh_config: Path | None
    known_hosts: Path | None


_PATH = click.Path(path_type=Path)

_SITE_OPTIONS = (
    click.option("-i", "--inventory", multiple=True, type=_PATH, envvar="VOSCTL_INVENTORY",
                 help="Inventory file, folder or program; may be repeated."),
    click.option("-l", "--limit", envvar="VOSCTL_LIMIT",
                 help="Only these nodes: names, groups, globs, a:b, !x, &x, ~regex, @file."),
    click.option("-e", "--extra-vars", multiple=True, envvar="VOSCTL_EXTRA_VARS",
                 help="key=value, {yaml} or @file; wins over every other layer."),
    click.option("--json", "as_json", is_flag=True, envvar="VOSCTL_JSON",
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
)  # fmt: skip


def site_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the playbook argument and the site options; the command gets one ``site: SiteArguments``."""

    @functools.wraps(function)
    def gather(*args: Any, **options: Any) -> int:
        site = SiteArguments(
            playbook=options.pop("playbook"),
            inventory=options.pop("inventory"),
            limit=options.pop("limit"),
            extra_vars=options.pop("extra_vars"),
            json=options.pop("as_json"),
            verbose=options.pop("verbose"),
        )
        wish = click.get_current_context().find_object(Wish)
        if wish is not None:
            wish.json = site.json
        return function(*args, site=site, **options)

    command = _decorate(gather, _SITE_OPTIONS)
    playbook = click.argument("playbook", required=False, type=_PATH, envvar="VOSCTL_PLAYBOOK")
    return playbook(command)


def node_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the connection options; the command gets one ``nodes: NodeArguments``."""

    @functools.wraps(function)
    def gather(*args: Any, **options: Any) -> int:
        nodes = NodeArguments(
            forks=options.pop("forks"),
            connect_timeout=options.pop("connect_timeout"),
            timeout=options.pop("timeout"),
            user=options.pop("user"),
            private_key=options.pop("private_key"),
            ssh_config=options.pop("ssh_config"),
            known_hosts=options.pop("known_hosts"),
        )
        return function(*args, nodes=nodes, **options)

    return _decorate(gather, _NODE_OPTIONS)


def _decorate(
    function: Callable[..., int], options: tuple[Callable[[Callable[..., int]], Callable[..., int]], ...]
) -> Callable[..., int]:
    for option in reversed(options):
        function = option(function)
    return function
