"""``vosctl diff``: what a change in git does to traffic, node by node, before anything is pushed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.screen import output, print_json
from vosctl.compile.desired import Desired, Ruleset
from vosctl.compile.site import compile_site
from vosctl.errors import InputError, UsageError
from vosctl.plan.traffic import Revision, effects
from vosctl.report.traffic import Effects, as_json, print_effects
from vosctl.site.problems import Problem
from vosctl.site.revision import checked_out, top_folder

_Nodes = dict[str, Desired]


@click.command(short_help="Show what a change in git does to traffic.")
@click.argument("revisions")
@site_options
def diff(site: SiteArguments, *, revisions: str) -> int:
    """Compile two REVISIONS (A..B; A alone: A and the working tree) and say which traffic each node newly accepts or drops."""
    old, dots, new = revisions.partition("..")
    if new.startswith("."):
        raise UsageError(
            "vosctl diff takes A..B", hint=f"for the common ancestor: $(git merge-base {old} {new[1:]})"
        )
    arguments = _portable(site)
    before = _compiled(arguments, old or "HEAD")
    after = _compiled(arguments, (new or "HEAD") if dots else None)
    found = dict(_compared(before, after))
    if site.json:
        print_json(as_json(found))
    else:
        print_effects(output(), found)
    return 0


def _portable(site: SiteArguments) -> SiteArguments:
    """Return the arguments as they hold in any revision: paths in the repository relative, others absolute."""
    top = top_folder()

    def moved(path: Path) -> Path:
        whole = Path.cwd() / path
        inside = whole.resolve().is_relative_to(top.resolve())
        return Path(os.path.relpath(whole)) if inside else whole

    extra = tuple(
        f"@{Path(each[1:]).absolute()}" if each.startswith("@") else each for each in site.extra_vars
    )
    playbook = moved(site.playbook) if site.playbook else None
    return replace(site, playbook=playbook, inventory=tuple(map(moved, site.inventory)), extra_vars=extra)


def _compiled(site: SiteArguments, revision: str | None) -> _Nodes:
    """Return the nodes in a revision, None for the working tree; a wrong site's problems name the revision."""
    if revision is None:
        return compile_site(load_site(site, warn=False)[0], release=None)
    with checked_out(revision) as folder, _inside(folder):
        try:
            return compile_site(load_site(site, warn=False)[0], release=None)
        except InputError as error:
            problems = cast("tuple[Problem, ...]", error.problems)
            raise InputError(tuple(_of(revision, problem) for problem in problems)) from error


def _of(revision: str, problem: Problem) -> Problem:
    return replace(problem, mark=replace(problem.mark, file=f"{revision}:{problem.mark.file}"))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _compared(before: _Nodes, after: _Nodes) -> Iterator[tuple[str, Effects]]:
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            yield name, Effects(new=name in after, gone=name in before)
            continue
        yield name, Effects(traffic=tuple(effects(_revisions(before[name], after[name]))))


def _revisions(old: Desired, new: Desired) -> Iterator[Revision]:
    """Yield both families where the filters differ; a node without a filter leaves all to the host's own rules."""
    if (old.rulesets, old.sets) == (new.rulesets, new.sets):
        return
    before, after = ({each.family: each for each in node.rulesets} for node in (old, new))
    for family in sorted({*before, *after}):
        none = Ruleset(family, "", ())
        yield Revision(before.get(family, none), old.sets, after.get(family, none), new.sets)


COMMANDS = (diff,)
