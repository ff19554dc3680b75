"""The command that shows the fleet in one table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial

import click

from vosctl.cli.loading import load_desired, load_site
from vosctl.cli.nodes import CHANGES_PENDING, detailed_option, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import output, print_json
from vosctl.cli.seeing import SeeingArguments
from vosctl.errors import UsageError
from vosctl.push import api
from vosctl.push.result import HostResult, exit_code
from vosctl.report.key_ages import ages_of, print_ages
from vosctl.report.recap import as_json
from vosctl.report.rollout import when
from vosctl.report.status import alarms, print_status, state_of
from vosctl.site.model import Site


@click.command(short_help="Show the fleet in one table.")
@click.option(
    "--no-drift", is_flag=True, help="Do not compare with the site: quicker, and for a site with errors."
)
@click.option("--watch", type=click.FloatRange(1, 3600), metavar="SECONDS",
              help="Look again and again, until Ctrl-C.")  # fmt: skip
@detailed_option
@site_options
@node_options
def status(
    site: SiteArguments, nodes: NodeArguments, *, no_drift: bool, watch: float | None, detailed_exitcode: bool
) -> int:
    """Show the fleet in one table: state, revision, drift, relay version, calls, alarms.

    Below the table stands what needs a look: who is at work on a node, what waits for a confirmation,
    what moved, what is above its threshold, why a node cannot be reached, and how old the trunks' keys are.
    """
    if watch is not None and site.json:
        raise UsageError("--watch is for people; for programs, call vosctl status --json again")
    if no_drift:
        checked, desired = load_site(site)[0], None
    else:
        checked, desired = load_desired(site)
    options = push_options(site, nodes)
    operation = partial(api.status_site, checked, options=options, desired=desired)
    while True:
        seeing = SeeingArguments(progress="off" if watch is not None else "auto")
        results = run_on_nodes(site, checked, operation, seeing=seeing, options=options)
        if watch is None:
            break
        _again(results)
        time.sleep(watch)
    if site.json:
        print_json(_as_json(checked, results))
    else:
        print_status(output(), results)
        print_ages(output(), checked, datetime.now(timezone.utc))
    code = exit_code(results)
    moved = any(r.report.get("drift") or r.report.get("changes") for r in results.values())
    return CHANGES_PENDING if detailed_exitcode and moved and code == 0 else code


def _again(results: Mapping[str, HostResult]) -> None:
    console = output()
    if console.is_terminal:
        console.clear()
    console.print(when(time.time()), style="dim")
    print_status(console, results)


def _as_json(site: Site, results: Mapping[str, HostResult]) -> dict[str, object]:
    words, moment = as_json(results), datetime.now(timezone.utc)
    return {
        name: {
            **words[name],
            "state": state_of(result),
            "alarms": alarms(result.report),
            "keys": ages_of(site.nodes[name], moment),
        }
        for name, result in sorted(results.items())
    }


COMMANDS = (status,)
