"""The command that shows what the packet filter does: once, again and again, or as Prometheus text."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace
from rich.console import Console

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.nodes import print_errors, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import PIPE_WIDTH, output, print_json
from vosctl.cli.selection import narrowed
from vosctl.push import api
from vosctl.push.agent import durable, metrics
from vosctl.push.result import HostResult, exit_code
from vosctl.report.counters import Choice, Place, screen
from vosctl.report.recap import as_json
from vosctl.site.model import Site
from vosctl.site.variables.layers import DEFAULTS
from vosctl.site.written import Places


@click.command(short_help="Show what the packet filter drops and lets in.")
@click.argument("names", nargs=-1, metavar="[NODE]...")
@click.option("-w", "--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--every",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.5, 3600),
    envvar="VOSCTL_EVERY",
    help="Seconds between two looks with --watch.",
)
@click.option("--all", "everything", is_flag=True, help="Also rules that no packet met.")
@click.option("-n", "--top", default=0, type=click.IntRange(0), help="At most so many rules a node.")
@click.option(
    "--prom",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write Prometheus text of all nodes into this file instead, for node_exporter's textfile collector.",
)
@site_options
@node_options
def counters(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    names: tuple[str, ...],
    watch: bool,
    every: float,
    everything: bool,
    top: int,
    prom: Path | None,
) -> int:
    """Show what the packet filter of NODEs (all, when none is named) has counted, rule by rule.

    What drops packets stands on top, with its rate since the last look, its purpose and the line of YAML
    that made it; below it who sends too much. Tables turn yellow at 60 and red at 80 percent full.
    """
    site = narrowed(site, names)
    places = Places(site_options_of(site))
    choice = Choice(every=everything, top=top)
    checked, _ = load_site(site)
    if watch:
        return _Watch(site, checked, choice, places).run(nodes, every)
    results = run_on_nodes(
        site, checked, lambda **kw: api.counters_site(checked, options=push_options(site, nodes), **kw)
    )
    if prom is not None:
        _write(prom, results)
    if site.json:
        print_json(_told(results, places))
    elif prom is None:
        _console().print(screen(_counted(results), choice, _place(places)))
    if not site.json:
        print_errors(results)
    return exit_code(results)


def _console() -> Console:
    """Return the console for results; a pipe has no edge at which to cut a row."""
    console = output()
    console.width = console.width if console.is_terminal else PIPE_WIDTH
    return console


def _counted(results: Mapping[str, HostResult]) -> dict[str, Any]:
    return {
        name: result.report["counters"] for name, result in results.items() if "counters" in result.report
    }


def _place(places: Places) -> Place:
    """Return a function that gives ``file:line`` for each part of a rule's path (``a.b, c``), the path where unknown."""

    @cache
    def place(node: str, path: str) -> str:
        found, before = [], ""
        for part in path.split(", "):
            mark = places.find(node, part) or places.find(node, f"{before}.{part}")
            before = part.rpartition(".")[0]
            found.append(part if mark is None else f"{_short(mark.file)}:{mark.line}")
        return ", ".join(dict.fromkeys(found))

    return place


def _short(file: str) -> str:
    return "vosctl's defaults" if Path(file) == DEFAULTS else file


def _told(results: Mapping[str, HostResult], places: Places) -> dict[str, Any]:
    told = as_json(results)
    place = _place(places)
    for name, counted in _counted(results).items():
        told[name]["report"] = {"counters": _placed(name, counted, place)}
    return told


def _placed(node: str, counted: Mapping[str, Any], place: Place) -> dict[str, Any]:
    rules = [{**rule, "where": place(node, rule["path"])} for rule in counted["rules"]]
    return {**counted, "rules": rules}


def _write(path: Path, results: Mapping[str, HostResult]) -> None:
    pages = [metrics.samples(counted, node=name) for name, counted in _counted(results).items()]
    durable.write(str(path.absolute()), metrics.page(pages).encode())


class _Watch:
    """Shows each node's counters as they come, all on one screen where there is one."""

    def __init__(self, site: SiteArguments, checked: Site, choice: Choice, places: Places) -> None:
        from rich.live import Live  # noqa: PLC0415  10 ms that a pipe need not wait for

        self._site = site
        self._checked = checked
        self._choice = choice
        self._place = _place(places)
        self._found: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._console = _console()
        self._live = (
            Live(console=self._console, screen=True, auto_refresh=False)
            if self._console.is_terminal and not site.json
            else None
        )

    def run(self, nodes: NodeArguments, every: float) -> int:
        """Watch until every node has failed, or until the interrupt."""
        options = push_options(self._site, nodes)
        # Every node is watched for as long as the command runs: each needs a thread of its own.
        options = replace(options, forks=max(options.forks, len(self._checked.selected)))
        try:
            if self._live is not None:
                self._live.start()
            results = api.follow(self._checked, "counters", options=options, pause=every, heard=self._heard)
        except KeyboardInterrupt:
            return 0
        finally:
            if self._live is not None:
                self._live.stop()
        print_errors(results)
        return exit_code(results)

    def _heard(self, result: HostResult) -> None:
        counted = result.report["counters"]
        with self._lock:
            self._found[result.node] = counted
            if self._site.json:
                told = {"node": result.node, "counters": _placed(result.node, counted, self._place)}
                click.echo(json.dumps(told, sort_keys=True))
            elif self._live is not None:
                self._live.update(screen(self._found, self._choice, self._place), refresh=True)
            else:
                self._console.print(screen({result.node: counted}, self._choice, self._place))


COMMANDS = (counters,)
