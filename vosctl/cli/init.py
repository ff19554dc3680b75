"""``vosctl init``: a new site for hosts that have nothing but sshd and python3."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

import click

from vosctl.cli.screen import output
from vosctl.compile.scaffold import Scaffold, parse_hosts, write
from vosctl.errors import UsageError

_SSH = 22


@click.command(short_help="Begin a site: an inventory, its administrators, a playbook.")
@click.argument("hosts", metavar="NAME[=HOST]...", nargs=-1, required=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default="here",
              help="Where the site begins.")  # fmt: skip
@click.option(
    "-u", "--user", default="root", show_default=True, help="Who logs in; anyone but root uses sudo."
)
@click.option("--admin", multiple=True, metavar="NETWORK",
              help="Who may reach the nodes' SSH [default: this machine's address towards the first node].")  # fmt: skip
@click.option("--port", default=_SSH, show_default=True, type=click.IntRange(1, 65535), help="SSH's port.")
def init(hosts: tuple[str, ...], *, folder: Path, user: str, admin: tuple[str, ...], port: int) -> int:
    """Write a site for the nodes named, as few lines as a first apply needs; existing files are left alone.

    The firewall that the site describes lets SSH in from the administrators only: look at them
    before the first apply.
    """
    nodes = parse_hosts(hosts)
    networks = tuple(map(_network, admin)) or (_own_address(next(iter(nodes.values())), port),)
    for path in write(folder, Scaffold(nodes, user, networks, (port,))):
        output().print(f"written: {path}")
    output().print(f"administrators: {', '.join(networks)} (firewall.admin)")
    output().print("next: vosctl ssh-keyscan, compare the fingerprints; vosctl plan; vosctl apply")
    return 0


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise UsageError(f"--admin {text}: {error}", hint="write 192.0.2.0/24, or one address") from error


def _own_address(host: str, port: int) -> str:
    """Return this machine's address on its way to ``host``; no packet is sent."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            own = probe.getsockname()[0].partition("%")[0]
    except OSError as error:
        message = f"there is no way to {host} to learn this machine's address from: {error.strerror}"
        raise UsageError(message, hint="say who administers the nodes: --admin NETWORK") from error
    return str(ip_network(ip_address(own)))


COMMANDS = (init,)
