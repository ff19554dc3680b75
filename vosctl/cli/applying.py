"""The commands that show what would change and change it: plan and apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from vosctl.cli import job as jobs
from vosctl.cli.job import Job
from vosctl.cli.loading import runs_of, site_options_of
from vosctl.cli.looking import FOUND, fail_on_option, failing, traffic_option, with_traffic
from vosctl.cli.nodes import (
    detailed_option,
    diff_option,
    list_nodes,
    push_options,
    report_plans,
    run_on_nodes,
)
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.rollout import RolloutArguments, rollout_options
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.cli.seeing import SeeingArguments, seeing_options
from vosctl.errors import VosctlError
from vosctl.plan.markdown import render as render_markdown
from vosctl.push import api, planfile
from vosctl.push.journal import Entry
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor
from vosctl.push.result import HostResult
from vosctl.report.rollout import print_batches
from vosctl.site.read import site_folder
from vosctl.vault.keys import at_hand
from vosctl.vault.seen import remember_versions

_NO_TROUBLE = (0, 3)
_list_hosts = click.option("--list-hosts", is_flag=True, help="Only list the nodes that would be concerned.")
_lockout = click.option(
    "--allow-lockout",
    is_flag=True,
    help="Apply even if the new firewall seems to cut this machine's SSH; only the revert timer protects you then.",
)


@click.command(short_help="Show what apply would change.")
@diff_option
@_list_hosts
@detailed_option
@click.option("--markdown", is_flag=True, help="Markdown, for a pull request.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Keep the plan in this file, for 'vosctl apply FILE'.")  # fmt: skip
@fail_on_option
@traffic_option
@rollout_options
@seeing_options
@site_options
@node_options
def plan(
    site: SiteArguments,
    nodes: NodeArguments,
    rollout: RolloutArguments,
    seeing: SeeingArguments,
    *,
    diff: bool,
    list_hosts: bool,
    detailed_exitcode: bool,
    markdown: bool,
    out: Path | None,
    fail_on: tuple[str, ...],
    traffic: Path | None,
) -> int:
    """Show what apply would change on each node, and in which batches; change nothing.

    With --out, the plan is kept in a file. 'vosctl apply FILE' does just that, or nothing at all where
    the site or a node is not any more what the plan was made from.
    """
    unwanted = failing(fail_on)
    site = with_traffic(_alone(site, seeing), traffic)
    job = jobs.fresh(site, rollout, keeps=out is not None)
    if list_hosts:
        return list_nodes(job.site, site)
    options = push_options(site, nodes)
    results = _look(site, job, options, seeing)
    if markdown and not seeing.json_events:
        click.echo("\n".join(render_markdown(r.plan) for r in results.values() if r.plan is not None))
    elif not site.json:
        print_batches(output(), job.batches, job.wishes.seed)
    code = report_plans(
        site, results, diff=diff, markdown=markdown, detailed=detailed_exitcode, seeing=seeing
    )
    if out is not None:
        _keep(job, options, results, out)
    risks = {change.risk for result in results.values() if result.plan for change in result.plan.changes}
    return FOUND if code in _NO_TROUBLE and unwanted & risks else code


@click.command(short_help="Bring the nodes to what the site says.")
@click.option("-C", "--check", is_flag=True, envvar="VOSCTL_CHECK", help="Only show what would change.")
@diff_option
@_list_hosts
@detailed_option
@_lockout
@click.option("--confirm-window", default=60.0, show_default=True, type=click.FloatRange(1, 3600),
              envvar="VOSCTL_CONFIRM_WINDOW",
              help="Seconds a node waits for the confirmation before it goes back.")  # fmt: skip
@click.option("--no-confirm", is_flag=True, help="Leave the nodes armed: you confirm with 'vosctl confirm'.")
@click.option(
    "--resume", is_flag=True, help="Go on with the nodes that the last apply did not bring to the end."
)
@rollout_options
@seeing_options
@site_options
@node_options
def apply(
    site: SiteArguments,
    nodes: NodeArguments,
    rollout: RolloutArguments,
    seeing: SeeingArguments,
    *,
    check: bool,
    diff: bool,
    list_hosts: bool,
    detailed_exitcode: bool,
    allow_lockout: bool,
    confirm_window: float,
    no_confirm: bool,
    resume: bool,
) -> int:
    """Bring the nodes to what the site says, and prove that they can still be reached.

    Each node takes a snapshot and arms a timer before anything changes; vosctl then confirms over a new
    connection. A node that is not confirmed goes back to what it ran before, by itself.

    In place of a playbook, the argument may be a file of 'vosctl plan --out'.
    """
    site = _alone(site, seeing)
    job = _job(site, rollout, resume=resume, keeps=not (check or list_hosts))
    if isinstance(job, str):
        errors_to().print(job)
        if site.json and not seeing.json_events:
            print_json({})
        return 0
    if list_hosts:
        return list_nodes(job.site, site)
    options = push_options(
        job.arguments,
        nodes,
        check=check,
        confirm_window=confirm_window,
        auto_confirm=not no_confirm,
        allow_lockout=allow_lockout,
    )
    if check:
        if not site.json:
            print_batches(output(), job.batches, job.wishes.seed)
        results = _look(site, job, options, seeing)
    else:
        results = _change(site, job, options, seeing)
    return report_plans(site, results, diff=diff, detailed=detailed_exitcode and check, seeing=seeing)


def _alone(site: SiteArguments, seeing: SeeingArguments) -> SiteArguments:
    """Return the arguments with standard output kept free of text where events go there."""
    return replace(site, json=True) if seeing.json_events else site


def _job(site: SiteArguments, rollout: RolloutArguments, *, resume: bool, keeps: bool) -> Job | str:
    if resume:
        return jobs.resumed(site, rollout)
    stored = planfile.read(site.playbook) if site.playbook is not None else None
    return jobs.fresh(site, rollout, keeps=keeps) if stored is None else jobs.planned(site, rollout, stored)


def _look(
    site: SiteArguments, job: Job, options: PushOptions, seeing: SeeingArguments
) -> dict[str, HostResult]:
    accepts = _accepts(job)

    def look(processors: Sequence[Processor]) -> dict[str, HostResult]:
        moved = accepts and api.verify_site(job.site, job.desired, accepts=accepts, options=options)
        return moved or api.plan_site(job.site, job.desired, options=options, processors=processors)

    return run_on_nodes(site, job.site, look, seeing=seeing, options=options)


def _change(
    site: SiteArguments, job: Job, options: PushOptions, seeing: SeeingArguments
) -> dict[str, HostResult]:
    if not site.json and seeing.progress != "off":
        print_batches(errors_to(), job.batches, job.wishes.seed)
    accepts = _accepts(job)

    def change(processors: Sequence[Processor]) -> dict[str, HostResult]:
        if accepts is not None:
            moved = api.verify_site(job.site, job.desired, accepts=accepts, options=options)
            if moved:
                return moved
        return api.roll_out_site(
            job.site,
            job.desired,
            batches=job.batches,
            options=options,
            entry=_begin(job, options),
            accepts=accepts,
            processors=processors,
        )

    return run_on_nodes(site, job.site, change, seeing=seeing, options=options)


def _accepts(job: Job) -> Callable[[str, str], bool] | None:
    """Return what says of a node's state whether it is the stored plan's; None without a stored plan."""
    stored = job.stored
    if stored is None:
        return None
    fingerprint = job.fingerprint(stored.salt)
    return lambda node, digest: stored.holds(node, digest, fingerprint)


def _begin(job: Job, options: PushOptions) -> Entry | None:
    """Write the run's beginning into the journal, and which versions of encrypted files it used."""
    remember_versions(site_folder(site_options_of(job.arguments)), at_hand().versions)
    try:
        return runs_of(job.arguments).begin(job.run(options))
    except VosctlError as error:
        errors_to().print(f"vosctl: {error}", style="yellow")
        return None


def _keep(job: Job, options: PushOptions, results: Mapping[str, HostResult], out: Path) -> None:
    bad = [name for name, result in results.items() if result.error is not None]
    if bad:
        errors_to().print(f"{out} is not written: there is no plan for {', '.join(bad)}", style="bold red")
        return
    plans = {name: result.plan for name, result in results.items() if result.plan is not None}
    fingerprint = job.fingerprint()
    stored = planfile.PlanFile(
        made=jobs.now(),
        holder=options.holder,
        revision=options.revision,
        salt=fingerprint.salt,
        fingerprint=fingerprint.of_site(job.desired, job.whole),
        arguments=jobs.arguments_of(job.arguments),
        wishes=dict(job.words),
        observed=planfile.states(plans, fingerprint),
        plans=planfile.shown(plans),
    )
    planfile.write(out, stored)
    errors_to().print(f"{out}: apply it with: vosctl apply {out}")


COMMANDS = (plan, apply)
