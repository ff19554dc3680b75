"""Commands that talk to nodes: confirm, rollback, drift, facts, history; and what such commands share."""

from __future__ import annotations

import getpass
import socket
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from vosctl.cli.asking import Passphrases
from vosctl.cli.loading import load_desired, load_site
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.cli.seeing import Run, SeeingArguments, seeing_options, watch
from vosctl.cli.selection import narrowed
from vosctl.errors import UsageError
from vosctl.push import api
from vosctl.push.options import PushOptions
from vosctl.push.result import HostResult, exit_code
from vosctl.report.drift import print_moved
from vosctl.report.plans import print_plans
from vosctl.report.recap import as_json, print_recap
from vosctl.report.rollout import print_history
from vosctl.report.status import print_facts
from vosctl.site.model import Site

CHANGES_PENDING = 3
# Commands whose plain output has a line for each node.
CHANGING = frozenset({"apply", "confirm", "rollback"})
_INTERRUPTED = "a node that was being changed goes back by itself; vosctl status shows it, vosctl confirm keeps the change"

diff_option = click.option(
    "-D", "--diff", is_flag=True, envvar="VOSCTL_DIFF", help="Show the lines that change."
)
detailed_option = click.option(
    "--detailed-exitcode",
    is_flag=True,
    envvar="VOSCTL_DETAILED_EXITCODE",
    help="Exit with 3 when changes are pending.",
)


@click.command(short_help="Show what moved on the nodes by itself.")
@diff_option
@detailed_option
@seeing_options
@site_options
@node_options
def drift(
    site: SiteArguments, nodes: NodeArguments, seeing: SeeingArguments, *, diff: bool, detailed_exitcode: bool
) -> int:
    """Show what moved on the nodes since the last apply, by hand or by reboot, and since when at the latest."""
    checked, desired = load_desired(site)
    options = push_options(site, nodes)
    results = run_on_nodes(
        site,
        checked,
        lambda **kw: api.drift_site(checked, desired, options=options, **kw),
        seeing=seeing,
        options=options,
    )
    code = report_plans(site, results, diff=diff, detailed=detailed_exitcode, seeing=seeing)
    if not site.json and not seeing.json_events:
        print_moved(output(), results)
    return code


@click.command(short_help="Keep what an apply left waiting.")
@seeing_options
@site_options
@node_options
def confirm(site: SiteArguments, nodes: NodeArguments, seeing: SeeingArguments) -> int:
    """Keep what an apply --no-confirm left armed."""
    return _simple(site, nodes, api.confirm_site, seeing=seeing)


@click.command(short_help="Put the nodes back by one apply.")
@click.option(
    "--now", is_flag=True, help="Cut off calls that cannot go on, instead of waiting for their end."
)
@seeing_options
@site_options
@node_options
def rollback(site: SiteArguments, nodes: NodeArguments, seeing: SeeingArguments, *, now: bool) -> int:
    """Put the nodes back: a pending apply, else the last one.

    A relay of an earlier release goes on with its calls where its media part is the same; else it is drained
    first, for at most relay.drain.
    """
    return _simple(site, nodes, partial(api.rollback_site, drain=not now), seeing=seeing)


@click.command(short_help="Show what is known of each node.")
@site_options
@node_options
def facts(site: SiteArguments, nodes: NodeArguments) -> int:
    """Show what vosctl knows of each node: system, kernel, firewall backend, what it can do there."""
    return _simple(site, nodes, api.facts_site, show=print_facts)


@click.command(short_help="Show the last applies of each node.")
@click.argument("names", metavar="[NODE]...", nargs=-1)
@click.option("-n", "--last", default=20, show_default=True, type=click.IntRange(1, 100),
              help="At most so many applies of each node.")  # fmt: skip
@site_options
@node_options
def history(site: SiteArguments, nodes: NodeArguments, *, names: tuple[str, ...], last: int) -> int:
    """Show the last applies of each node: when, by whom, which git revision, what changed, what became of it.

    The node keeps the record itself: what other people applied from other machines is in it, too.
    """
    site = narrowed(site, names)
    checked, _ = load_site(site)
    results = run_on_nodes(
        site, checked, lambda **kw: api.history_site(checked, options=push_options(site, nodes), **kw)
    )
    if site.json:
        print_json(as_json(results))
    else:
        print_history(output(), results, last)
        print_errors(results)
    return exit_code(results)


def _simple(
    site: SiteArguments,
    nodes: NodeArguments,
    operation: Callable[..., dict[str, HostResult]],
    *,
    show: Callable[..., None] = print_recap,
    seeing: SeeingArguments | None = None,
) -> int:
    checked, _ = load_site(site)
    options = push_options(site, nodes)
    results = run_on_nodes(
        site, checked, lambda **kw: operation(checked, options=options, **kw), seeing=seeing, options=options
    )
    if seeing is not None and seeing.json_events:
        return exit_code(results)
    if site.json:
        print_json(as_json(results))
    else:
        show(output(), results)
    return exit_code(results)


def run_on_nodes(
    site: SiteArguments,
    checked: Site,
    operation: Callable[..., dict[str, HostResult]],
    *,
    seeing: SeeingArguments | None = None,
    options: PushOptions | None = None,
    interrupted: str = _INTERRUPTED,
) -> dict[str, HostResult]:
    """Run ``operation`` and show how it goes; with ``seeing`` as it says, else a display on a terminal only.

    ``options`` say in the run's first event who does it, and at which revision.
    """
    command = click.get_current_context().info_name or "vosctl"
    if options is not None and options.connection is not None and len(checked.selected) > 1:
        raise UsageError(
            f"--connection {options.connection} is for one node, and {len(checked.selected)} are meant",
            hint="name the one that this machine is: --limit NODE",
        )
    run = Run(command, tuple(checked.selected), options or PushOptions(holder=""), hosts=command in CHANGING)
    try:
        return watch(site, seeing or SeeingArguments(), run, lambda told: operation(processors=told))
    except KeyboardInterrupt:
        errors_to().print(interrupted)
        raise


def report_plans(
    site: SiteArguments,
    results: Mapping[str, HostResult],
    *,
    diff: bool,
    detailed: bool,
    markdown: bool = False,
    seeing: SeeingArguments | None = None,
) -> int:
    """Write plans and recap, or JSON, and return the exit code; events on standard output leave no room there."""
    if seeing is not None and seeing.json_events:
        pass
    elif site.json:
        print_json(as_json(results))
    elif not markdown:
        console = output()
        print_plans(console, results, diff=diff, held=site.verbose > 0)
        print_recap(console, results)
    code = exit_code(results)
    pending = any(result.plan for result in results.values())
    return CHANGES_PENDING if detailed and pending and code == 0 else code


def print_errors(results: Mapping[str, HostResult]) -> None:
    """Write each node's error to standard error."""
    console = errors_to()
    for result in results.values():
        if result.error is not None:
            console.print(f"vosctl: {result.error}", style="bold red")


def list_nodes(checked: Site, site: SiteArguments) -> int:
    """Write the names of the nodes that a command is about."""
    if site.json:
        print_json(list(checked.selected))
    else:
        output().print(f"  hosts ({len(checked.selected)}):")
        for name in checked.selected:
            output().print(f"    {name}")
    return 0


def push_options(site: SiteArguments, nodes: NodeArguments, **more: Any) -> PushOptions:
    """Return the arguments in the words of vosctl.push."""
    return PushOptions(
        forks=nodes.forks,
        connect_timeout=nodes.connect_timeout,
        timeout=nodes.timeout,
        user=nodes.user,
        private_key=nodes.private_key,
        ssh_config=nodes.ssh_config,
        known_hosts=nodes.known_hosts,
        passphrase=Passphrases(nodes.ssh_passphrase_file),
        password=nodes.password_file or nodes.ask_pass,
        become_password=nodes.become_password_file or nodes.ask_become_pass,
        transport=nodes.transport,
        persist=nodes.persist,
        connection=nodes.connection,
        tries=nodes.tries,
        holder=f"{getpass.getuser()}@{socket.gethostname()}",
        revision=_revision(site),
        **more,
    )


# New files of these kinds are part of the site before git knows them.
_OF_SITE = (":(top)*.yml", ":(top)*.yaml", ":(top)*.j2")


def _revision(site: SiteArguments) -> str | None:
    """Return the git revision of the site, marked ``-dirty`` when files differ from it or are not in it yet."""
    where = (site.playbook or Path()).resolve()
    folder = where.parent if where.is_file() else where
    found = _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    if not found or found.endswith("-dirty"):
        return found or None
    return (
        f"{found}-dirty" if _git(folder, "ls-files", "-o", "--exclude-standard", "--", *_OF_SITE) else found
    )


def _git(folder: Path, *words: str) -> str:
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


COMMANDS = (confirm, rollback, drift, facts, history)
