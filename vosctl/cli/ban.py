"""Commands by which people keep somebody out by name: ban, unban, bans."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import click

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.nodes import print_errors, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import output, print_json
from vosctl.cli.selection import narrowed
from vosctl.errors import UsageError, VosctlError
from vosctl.firewall.protected import protected
from vosctl.push import api
from vosctl.push.agent.bans import LONGEST
from vosctl.push.bans import Ban, Unban
from vosctl.push.result import HostResult, exit_code
from vosctl.report.bans import left, summary, table
from vosctl.report.recap import as_json
from vosctl.site.model import Network, Site
from vosctl.site.written import Places

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WIDEST = {4: 8, 6: 16}


class _Length(click.ParamType[Any]):
    """A length of time, as 90, 30m, 1h or 7d; ``forever`` is None."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return seconds."""
        if not isinstance(value, str):
            return int(value)
        if value == "forever":
            return None
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no length of time: write 90, 30m, 1h, 7d or forever", param, ctx)
        seconds = int(timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds())
        if seconds > LONGEST:
            days = LONGEST // 86400
            self.fail(f"the kernel cannot wait that long: at most {days}d, or forever", param, ctx)
        return seconds


class _Network(click.ParamType[Any]):
    """An address or network."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        """Return the network; an address is a /32 or /128."""
        try:
            network = ip_network(value)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)
        if network.prefixlen < _WIDEST[network.version]:
            self.fail(f"{network} is too much of the internet for one ban", param, ctx)
        return network


_address = click.argument("address", type=_Network(), metavar="ADDRESS")
_nodes = click.argument("names", nargs=-1, metavar="[NODE]...")


@click.command(short_help="Keep an address out.")
@_address
@_nodes
@click.option("--for", "seconds", default="1h", show_default=True, type=_Length(),
              help="How long: 90 (seconds), 30m, 1h, 7d, or forever.")  # fmt: skip
@click.option("--reason", default="", help="Why, for those who see it in vosctl bans.")
@site_options
@node_options
def ban(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    address: Network,
    names: tuple[str, ...],
    seconds: int | None,
    reason: str,
) -> int:
    """Keep ADDRESS (or a network) out of NODEs, out of all when none is named.

    It holds through reboots and applies until its time is over or somebody unbans it. Peers,
    administrators, the nodes themselves and the machine that runs vosctl are refused.
    """
    site = _of_nodes(site, names)
    checked, _ = load_site(site)
    _spare(checked, address, Places(site_options_of(site)))
    results = _run(site, nodes, checked, Ban(address, seconds, reason))
    return _report(site, results, lambda report: f"banned, until {left(report['ban']['until'])}")


@click.command(short_help="Let an address in again.")
@_address
@_nodes
@site_options
@node_options
def unban(site: SiteArguments, nodes: NodeArguments, *, address: Network, names: tuple[str, ...]) -> int:
    """Take the ban of ADDRESS back on NODEs, on all when none is named: a person's or a rule's."""
    site = _of_nodes(site, names)
    checked, _ = load_site(site)
    results = _run(site, nodes, checked, Unban(address))
    return _report(site, results, _unbanned)


@click.command(short_help="Show who is kept out, by whom and why.")
@_nodes
@site_options
@node_options
def bans(site: SiteArguments, nodes: NodeArguments, *, names: tuple[str, ...]) -> int:
    """Show whom NODEs (all, when none is named) keep out: since when, until when, by whose word and why."""
    site = narrowed(site, names)
    checked, _ = load_site(site)
    results = run_on_nodes(
        site, checked, lambda **kw: api.bans_site(checked, options=push_options(site, nodes), **kw)
    )
    if site.json:
        print_json(as_json(results))
    else:
        found = {name: result.report["bans"] for name, result in results.items() if "bans" in result.report}
        if any(found.values()):
            output().print(table(found))
        output().print(summary(found), style="dim")
        print_errors(results)
    return exit_code(results)


def _of_nodes(site: SiteArguments, names: Sequence[str]) -> SiteArguments:
    for name in (*names, str(site.playbook or "")):
        with suppress(ValueError):
            raise UsageError(
                f"{ip_network(name)} would be a second address", hint="one command for each address"
            )
    return narrowed(site, names)


def _spare(site: Site, network: Network, places: Places) -> None:
    """Raise VosctlError for a network that holds somebody who is wanted on one of the nodes."""
    for name in site.selected:
        for item in protected(site, site.nodes[name]):
            if item.overlaps(network):
                mark = places.find(name, item.path)
                where = f"{mark.file}:{mark.line}: " if mark else ""
                raise VosctlError(
                    f"{where}{network} is refused: {item.network} is {item.who} of {name} ({item.path})",
                    hint="nothing was changed; take it out of the site first if it is to be kept out",
                )


def _run(
    site: SiteArguments, nodes: NodeArguments, checked: Site, operation: Ban | Unban
) -> dict[str, HostResult]:
    if not checked.selected:
        raise UsageError("no node is meant")
    return run_on_nodes(
        site,
        checked,
        lambda **kw: api.ban_site(checked, ban=operation, options=push_options(site, nodes), **kw),
    )


def _unbanned(report: Mapping[str, Any]) -> str:
    words = "let in again" if report["found"] else "was not banned"
    inside = report.get("inside")
    return f"{words}, but is still inside {', '.join(inside)}" if inside else words


def _report(site: SiteArguments, results: Mapping[str, HostResult], words: Any) -> int:
    if site.json:
        print_json(as_json(results))
    else:
        for name, result in results.items():
            if result.error is None:
                output().print(f"{name}: {words(result.report)}")
        print_errors(results)
    return exit_code(results)


COMMANDS = (ban, unban, bans)
