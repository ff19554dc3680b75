"""Reads a site as it was in a git revision, or as it stands in the working tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from vosctl.errors import InputError
from vosctl.review.make import Revision
from vosctl.site.problems import Problem, Problems
from vosctl.site.read import SiteOptions, build, read_inputs
from vosctl.site.revision import checked_out, top_folder

WORKING_TREE = "working tree"


def read_revision(options: SiteOptions, revision: str | None) -> Revision:
    """Return the site in a revision (anything that git knows as a commit), None for the working tree.

    ``options`` are those of the working tree; see ``portable``. Raises InputError whose problems name
    the revision, UsageError for what git does not know.
    """
    if revision is None:
        return _read(options, WORKING_TREE)
    with checked_out(revision) as folder, _inside(folder):
        try:
            return _read(options, revision)
        except InputError as error:
            problems = cast("tuple[Problem, ...]", error.problems)
            raise InputError(tuple(_of(revision, problem) for problem in problems)) from error


def portable(options: SiteOptions) -> SiteOptions:
    """Return the options as they hold in any revision: paths in the repository relative, others absolute."""
    top = top_folder()

    def moved(path: Path) -> Path:
        whole = Path.cwd() / path
        inside = whole.resolve().is_relative_to(top.resolve())
        return Path(os.path.relpath(whole)) if inside else whole

    extra = tuple(
        f"@{Path(each[1:]).absolute()}" if each.startswith("@") else each for each in options.extra_vars
    )
    playbook = moved(options.playbook) if options.playbook else None
    inventory = tuple(map(moved, options.inventory))
    return replace(options, playbook=playbook, inventory=inventory, extra_vars=extra)


def _read(options: SiteOptions, name: str) -> Revision:
    problems = Problems()
    inputs = read_inputs(options, problems)
    site = build(inputs, problems)
    problems.raise_errors()
    return Revision(name, site, inputs)


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
