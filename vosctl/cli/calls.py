"""The command that shows the calls that run: once, or again and again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace
from rich.console import Console, Group
from rich.text import Text

from vosctl.cli.loading import load_site
from vosctl.cli.nodes import print_errors, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import output, print_json
from vosctl.push import api
from vosctl.push.result import HostResult, exit_code
from vosctl.report.calls import ORDERS, Choice, summary, table
from vosctl.report.recap import as_json
from vosctl.site.model import Site

_PIPE_WIDTH = 200


@click.command(short_help="Show the calls that run, leg by leg.")
@click.argument("node", required=False)
@click.option("-w", "--watch", is_flag=True, help="Show them again and again, until Ctrl-C.")
@click.option(
    "--every",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.5, 3600),
    envvar="VOSCTL_EVERY",
    help="Seconds between two looks with --watch.",
)
@click.option(
    "--sort",
    default="age",
    show_default=True,
    type=click.Choice(sorted(ORDERS)),
    envvar="VOSCTL_SORT",
    help="The longest or the worst on top, names in their order.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--name", help="Only calls of this gateway or trunk.")
@click.option("--call", "text", help="Only calls with this in their call-id.")
@click.option(
    "--poor", is_flag=True, help="Only calls with a figure that is not good, or a suspected key mismatch."
)
@click.option("-n", "--top", default=0, type=click.IntRange(0), help="At most so many calls.")
@site_options
@node_options
def calls(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    node: str | None,
    watch: bool,
    every: float,
    **chosen: Any,
) -> int:
    """Show the calls that run on NODE, or on all nodes: loss, jitter, delay, round trip and MOS of each leg, times in ms.

    Colours: loss from 0.5 and 2 %, jitter from 20 and 50 ms, one-way delay from 150 and 300 ms, round
    trip from 300 and 500 ms.
    """
    site = _narrowed(site, node)
    choice = Choice(**chosen)
    checked, _ = load_site(site)
    if watch:
        return _watch(site, nodes, checked, choice, every)
    results = run_on_nodes(
        site, checked, lambda **kw: api.calls_site(checked, options=push_options(site, nodes), **kw)
    )
    if site.json:
        print_json(as_json(results))
    else:
        found = {name: result.report.get("calls", []) for name, result in results.items()}
        console = _console()
        console.print(_screen(found, choice, console.width))
        print_errors(results)
    return exit_code(results)


def _narrowed(site: SiteArguments, node: str | None) -> SiteArguments:
    """Return the arguments with NODE as their limit; a file in its place is the playbook."""
    if node is None:
        return site
    if Path(node).is_file():
        return replace(site, playbook=Path(node))
    return replace(site, limit=f"{site.limit}:&{node}" if site.limit else node)


def _console() -> Console:
    """Return the console for results; a pipe has no edge at which to cut a row."""
    console = output()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def _screen(found: Mapping[str, list[Any]], choice: Choice, width: int) -> Group:
    return Group(
        table(found, choice, now=time.time(), width=width), Text(summary(found, choice), style="dim")
    )


def _watch(site: SiteArguments, nodes: NodeArguments, checked: Site, choice: Choice, every: float) -> int:
    from rich.live import Live  # noqa: PLC0415  10 ms that a pipe need not wait for

    console = _console()
    found: dict[str, list[Any]] = {name: [] for name in checked.selected}
    lock = threading.Lock()
    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None

    def heard(result: HostResult) -> None:
        with lock:
            found[result.node] = result.report.get("calls", [])
            if site.json:
                told = {"node": result.node, "time": round(time.time(), 3), "calls": found[result.node]}
                click.echo(json.dumps(told, sort_keys=True))
            elif live is not None:
                live.update(_screen(found, choice, console.width), refresh=True)
            else:
                console.print(_screen({result.node: found[result.node]}, choice, console.width))

    options = push_options(site, nodes)
    # Every node is watched for as long as the command runs: each needs a thread of its own.
    options = replace(options, forks=max(options.forks, len(checked.selected)))
    try:
        if live is None or site.json:
            results = api.follow(checked, "calls", options=options, pause=every, heard=heard)
        else:
            with live:
                results = api.follow(checked, "calls", options=options, pause=every, heard=heard)
    except KeyboardInterrupt:
        return 0
    print_errors(results)
    return exit_code(results)


COMMANDS = (calls,)
