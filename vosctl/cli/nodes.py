"""Commands that talk to nodes: plan, apply, confirm, rollback, drift, status, facts."""

from __future__ import annotations

import getpass
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from vosctl.cli.asking import Passphrases, pausing
from vosctl.cli.loading import load_desired, load_site
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.plan.markdown import render as render_markdown
from vosctl.push import api
from vosctl.push.options import PushOptions
from vosctl.push.result import HostResult, exit_code
from vosctl.report.plans import print_plans
from vosctl.report.progress import ProgressLine
from vosctl.report.recap import as_json, print_recap
from vosctl.report.status import print_facts, print_status
from vosctl.site.model import Site

CHANGES_PENDING = 3

_diff = click.option("-D", "--diff", is_flag=True, envvar="VOSCTL_DIFF", help="Show the lines that change.")
_list_hosts = click.option("--list-hosts", is_flag=True, help="Only list the nodes that would be concerned.")
_detailed = click.option(
    "--detailed-exitcode",
    is_flag=True,
    envvar="VOSCTL_DETAILED_EXITCODE",
    help="Exit with 3 when changes are pending.",
)
_lockout = click.option(
    "--allow-lockout",
    is_flag=True,
    help="Apply even if the new firewall seems to cut this machine's SSH; only the revert timer protects you then.",
)


@click.command(short_help="Show what apply would change.")
@_diff
@_list_hosts
@_detailed
@click.option("--markdown", is_flag=True, help="Markdown, for a pull request.")
@site_options
@node_options
def plan(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    diff: bool,
    list_hosts: bool,
    detailed_exitcode: bool,
    markdown: bool,
) -> int:
    """Show what apply would change on each node; change nothing."""
    checked, desired = load_desired(site)
    if list_hosts:
        return _list(checked, site)
    results = run_on_nodes(
        site, checked, lambda **kw: api.plan_site(checked, desired, options=push_options(site, nodes), **kw)
    )
    if markdown:
        click.echo("\n".join(render_markdown(r.plan) for r in results.values() if r.plan is not None))
    return _report_plans(site, results, diff=diff, markdown=markdown, detailed=detailed_exitcode)


@click.command(short_help="Bring the nodes to what the site says.")
@click.option("-C", "--check", is_flag=True, envvar="VOSCTL_CHECK", help="Only show what would change.")
@_diff
@_list_hosts
@_detailed
@_lockout
@click.option("--confirm-window", default=60.0, show_default=True, type=click.FloatRange(1, 3600),
              envvar="VOSCTL_CONFIRM_WINDOW",
              help="Seconds a node waits for the confirmation before it goes back.")  # fmt: skip
@click.option("--no-confirm", is_flag=True, help="Leave the nodes armed: you confirm with 'vosctl confirm'.")
@site_options
@node_options
def apply(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    check: bool,
    diff: bool,
    list_hosts: bool,
    detailed_exitcode: bool,
    allow_lockout: bool,
    confirm_window: float,
    no_confirm: bool,
) -> int:
    """Bring the nodes to what the site says, and prove that they can still be reached.

    Each node takes a snapshot and arms a timer before anything changes; vosctl then confirms over a new
    connection. A node that is not confirmed goes back to what it ran before, by itself.
    """
    checked, desired = load_desired(site)
    if list_hosts:
        return _list(checked, site)
    options = push_options(
        site,
        nodes,
        check=check,
        confirm_window=confirm_window,
        auto_confirm=not no_confirm,
        allow_lockout=allow_lockout,
    )
    results = run_on_nodes(
        site, checked, lambda **kw: api.apply_site(checked, desired, options=options, **kw)
    )
    return _report_plans(site, results, diff=diff, detailed=detailed_exitcode and check)


@click.command(short_help="Show what moved on the nodes by itself.")
@_diff
@_detailed
@site_options
@node_options
def drift(site: SiteArguments, nodes: NodeArguments, *, diff: bool, detailed_exitcode: bool) -> int:
    """Show what moved on the nodes since the last apply, by hand or by reboot."""
    checked, desired = load_desired(site)
    results = run_on_nodes(
        site, checked, lambda **kw: api.drift_site(checked, desired, options=push_options(site, nodes), **kw)
    )
    return _report_plans(site, results, diff=diff, detailed=detailed_exitcode)


@click.command(short_help="Keep what an apply left waiting.")
@site_options
@node_options
def confirm(site: SiteArguments, nodes: NodeArguments) -> int:
    """Keep what an apply --no-confirm left armed."""
    return _simple(site, nodes, api.confirm_site)


@click.command(short_help="Put the nodes back by one apply.")
@site_options
@node_options
def rollback(site: SiteArguments, nodes: NodeArguments) -> int:
    """Put the nodes back: a pending apply, else the last one."""
    return _simple(site, nodes, api.rollback_site)


@click.command(short_help="Show the fleet in one table.")
@site_options
@node_options
def status(site: SiteArguments, nodes: NodeArguments) -> int:
    """Show the fleet in one table: revision, relay, calls, what is pending, who holds a lock."""
    return _simple(site, nodes, api.status_site, show=print_status)


@click.command(short_help="Show what is known of each node.")
@site_options
@node_options
def facts(site: SiteArguments, nodes: NodeArguments) -> int:
    """Show what vosctl knows of each node: system, kernel, firewall backend, what it can do there."""
    return _simple(site, nodes, api.facts_site, show=print_facts)


def _simple(
    site: SiteArguments,
    nodes: NodeArguments,
    operation: Callable[..., dict[str, HostResult]],
    *,
    show: Callable[..., None] = print_recap,
) -> int:
    checked, _ = load_site(site)
    results = run_on_nodes(
        site, checked, lambda **kw: operation(checked, options=push_options(site, nodes), **kw)
    )
    if site.json:
        print_json(as_json(results))
    else:
        show(output(), results)
        if show is print_status:
            print_errors(results)
    return exit_code(results)


def run_on_nodes(
    site: SiteArguments, checked: Site, operation: Callable[..., dict[str, HostResult]]
) -> dict[str, HostResult]:
    """Run ``operation`` with a line of progress, which ``--json`` leaves out."""
    if site.json:
        return operation(processors=())
    try:
        with ProgressLine(errors_to(), len(checked.selected)) as line, pausing(line.paused):
            return operation(processors=(line,))
    except KeyboardInterrupt:
        errors_to().print(
            "a node that was being changed goes back by itself; vosctl status shows it, vosctl confirm keeps the change"
        )
        raise


def _report_plans(
    site: SiteArguments,
    results: Mapping[str, HostResult],
    *,
    diff: bool,
    detailed: bool,
    markdown: bool = False,
) -> int:
    if site.json:
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


def _list(checked: Site, site: SiteArguments) -> int:
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
        tries=nodes.tries,
        holder=f"{getpass.getuser()}@{socket.gethostname()}",
        revision=_revision(site),
        **more,
    )


def _revision(site: SiteArguments) -> str | None:
    """Return the git revision of the site, marked ``-dirty`` when files differ from it."""
    where = (site.playbook or Path()).resolve()
    folder = where.parent if where.is_file() else where
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


COMMANDS = (plan, apply, confirm, rollback, drift, status, facts)
