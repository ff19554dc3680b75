"""The command that drains the relays of nodes, for maintenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import click

from vosctl.cli.length import Length
from vosctl.cli.loading import load_site
from vosctl.cli.nodes import print_errors, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import output, print_json
from vosctl.cli.selection import narrowed
from vosctl.errors import UsageError
from vosctl.push import api
from vosctl.push.drain import Drain
from vosctl.push.result import HostResult, exit_code
from vosctl.report.recap import as_json


@click.command(short_help="Let a node take no new calls.")
@click.argument("names", metavar="NODE...", nargs=-1)
@click.option("--wait", is_flag=True, envvar="VOSCTL_DRAIN_WAIT",
              help="Wait until no call is left, however long that takes.")  # fmt: skip
@click.option("--for", "longest", type=Length(), envvar="VOSCTL_DRAIN_FOR",
              help="Wait at most this long, as 30m; with calls left then, exit with 2.")  # fmt: skip
@click.option("--undo", is_flag=True, help="Take new calls again.")
@site_options
@node_options
def drain(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    names: tuple[str, ...],
    wait: bool,
    longest: float | None,
    undo: bool,
) -> int:
    """Let the relay of NODE take no new calls, while those that run go on.

    Offers are answered as at a load limit, so that a SIP proxy with several relays takes another one.
    It lasts until --undo or a reboot of the node; an apply does not end it. --wait waits until no call is left.
    """
    site = narrowed(site, names)
    if not site.limit:
        raise UsageError("name the nodes to drain: vosctl drain NODE, or --limit all")
    if undo and (wait or longest is not None):
        raise UsageError("--undo has nothing to wait for")
    checked, _ = load_site(site)
    seconds = longest if longest is not None else math.inf if wait else None
    results = run_on_nodes(
        site,
        checked,
        lambda **kw: api.drain_site(
            checked, drain=Drain(undo=undo, wait=seconds), options=push_options(site, nodes), **kw
        ),
        interrupted="what is drained stays so; vosctl drain NODE --undo takes it back",
    )
    if site.json:
        print_json(as_json(results))
    else:
        _print(results)
    return exit_code(results)


def _print(results: Mapping[str, HostResult]) -> None:
    for name, result in results.items():
        if result.error is None:
            output().print(f"{name}: {_told(result.report)}", highlight=False)
    print_errors(results)


def _told(report: Mapping[str, Any]) -> str:
    calls = f"{report['calls']} call{'' if report['calls'] == 1 else 's'}"
    if not report.get("draining"):
        return f"takes new calls, {calls} now"
    if not report["calls"]:
        return "drained, no call is left"
    since = report["draining"].get("since")
    when = f" since {datetime.fromtimestamp(since, tz=timezone.utc):%Y-%m-%d %H:%M:%SZ}" if since else ""
    return f"draining{when}, {calls} left"


COMMANDS = (drain,)
