"""``vosctl inventory``: the site's hosts as a dynamic inventory of Ansible's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.site.model import Node, Site
from vosctl.site.suggest import did_you_mean


@click.command(short_help="Give the hosts to Ansible.")
@click.option("--list", "listing", is_flag=True, help="Groups, hosts and how they are reached, as JSON.")
@click.option("--host", "name", help="How one host is reached, as JSON.")
@click.option("--graph", is_flag=True, help="Groups and hosts as a tree.")
@site_options
def inventory(site: SiteArguments, *, listing: bool, name: str | None, graph: bool) -> int:
    """Give the site's hosts to Ansible: a dynamic inventory, with the connection of each and no secret.

    Ansible calls a program with --list: two lines of shell that say 'exec vosctl inventory -i SITE "$@"'.
    """
    if listing + graph + (name is not None) != 1:
        raise UsageError("vosctl inventory takes one of --list, --host NAME and --graph")
    checked, _ = load_site(site, warn=False)
    if name is not None:
        if name not in checked.nodes:
            raise UsageError(f"no host {name!r} in the inventory{did_you_mean(name, checked.nodes)}")
        print_json(_connection(checked.nodes[name]))
    elif listing:
        print_json(_listing(checked))
    else:
        for line in _tree(checked):
            output().print(line, markup=False, highlight=False)
    return 0


def _groups(site: Site) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in site.selected:
        groups = [group for group in site.nodes[name].groups if group != "all"]
        for group in groups or ["ungrouped"]:
            found.setdefault(group, []).append(name)
    return dict(sorted(found.items()))


def _listing(site: Site) -> dict[str, Any]:
    groups = _groups(site)
    hosts = {name: _connection(site.nodes[name]) for name in site.selected}
    members = {name: {"hosts": names} for name, names in groups.items()}
    return {"_meta": {"hostvars": hosts}, "all": {"children": list(groups)}, **members}


def _connection(node: Node) -> dict[str, Any]:
    way = node.connection
    found = {
        "ansible_host": way.host,
        "ansible_port": way.port,
        "ansible_user": way.user,
        "ansible_connection": way.kind,
        "ansible_become": way.become,
        "ansible_ssh_private_key_file": str(way.private_key) if way.private_key else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tree(site: Site) -> Iterator[str]:
    yield "@all:"
    for group, names in _groups(site).items():
        yield f"  |--@{group}:"
        yield from (f"  |  |--{name}" for name in names)


COMMANDS = (inventory,)
