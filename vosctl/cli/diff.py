"""``vosctl diff``: what a change in git does, node by node, in words and with its risks, before anything is pushed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from msgspec import Struct

from vosctl.cli.diff_nodes import review_nodes
from vosctl.cli.loading import site_options_of
from vosctl.cli.looking import FOUND, fail_on_option, failing, traffic_option, with_traffic
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import output
from vosctl.errors import UsageError
from vosctl.report.review import as_json, print_review
from vosctl.report.review_markdown import render
from vosctl.report.review_sarif import as_sarif
from vosctl.review.make import review as make_review
from vosctl.review.model import Review
from vosctl.review.revisions import portable, read_revision
from vosctl.site.revision import top_folder

_FORMATS = ("text", "markdown", "json", "sarif")


class _Wanted(Struct, frozen=True):
    """How a review is written, and where to."""

    form: str
    out: Path | None
    diff: bool
    links: str
    fallback: str
    folder: str


@click.command(short_help="Show what a change in git does, and its risks.")
@click.argument("revisions")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="text", envvar="VOSCTL_DIFF_FORMAT",
              help="Text for people, Markdown for a pull request, JSON or SARIF for machines.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file instead.")
@click.option("-D", "--diff", "details", is_flag=True, help="Show what each finding is made of.")
@fail_on_option
@traffic_option
@click.option("--link-base", envvar="VOSCTL_LINK_BASE", default="",
              help="URL of the new revision's files, for the links in Markdown.")  # fmt: skip
@click.option("--nodes", "running", is_flag=True,
              help="Ask the nodes which revision each runs, and hold that against the one named.")  # fmt: skip
@site_options
@node_options
def diff(
    site: SiteArguments,
    nodes: NodeArguments,
    *,
    revisions: str,
    form: str,
    out: Path | None,
    details: bool,
    fail_on: tuple[str, ...],
    traffic: Path | None,
    link_base: str,
    running: bool,
) -> int:
    """Compile two REVISIONS (A..B; A alone: A and the working tree) and say, per node, what changes.

    Which traffic is newly accepted or dropped; gateways, limits, codecs, encryption and key ids; rates
    and what they do to margins and routes; settings, services and files. Whatever deserves a second
    look carries a risk with a stable id.
    """
    unwanted = failing(fail_on)
    site = with_traffic(site, traffic)
    options = portable(site_options_of(site))
    code = 0
    if running:
        found, code = review_nodes(site, nodes, options, revisions)
    else:
        old, new = _names(revisions)
        found = make_review(read_revision(options, old or "HEAD"), read_revision(options, new))
    folder = Path.cwd().resolve().relative_to(top_folder().resolve()).as_posix()
    fallback = os.path.normpath(f"{folder}/{options.playbook or 'inventory/hosts.yml'}")
    form = "json" if site.json else form
    _write(found, _Wanted(form, out, details, link_base or _pipeline_links(), fallback, folder))
    return code or (FOUND if unwanted & found.risks.keys() else 0)


def _names(revisions: str) -> tuple[str, str | None]:
    old, dots, new = revisions.partition("..")
    if new.startswith("."):
        raise UsageError(
            "vosctl diff takes A..B", hint=f"for the common ancestor: $(git merge-base {old} {new[1:]})"
        )
    return old, (new or "HEAD") if dots else None


def _pipeline_links() -> str:
    """Return where the pipeline that runs this shows the repository's files; "" outside of GitHub and GitLab."""
    server, repository, commit = (
        os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "SHA")
    )
    if server and repository and commit:
        return f"{server}/{repository}/blob/{commit}"
    project, commit = os.environ.get("CI_PROJECT_URL", ""), os.environ.get("CI_COMMIT_SHA", "")
    return f"{project}/-/blob/{commit}" if project and commit else ""


def _write(found: Review, wanted: _Wanted) -> None:
    if wanted.form == "text" and wanted.out is None:
        print_review(output(), found, diff=wanted.diff)
        return
    text = _text(found, wanted)
    if wanted.out is None:
        click.echo(text)
    else:
        wanted.out.write_text(text + "\n", encoding="utf-8")


def _text(found: Review, wanted: _Wanted) -> str:
    if wanted.form == "markdown":
        return render(found, links=wanted.links, folder=wanted.folder)
    if wanted.form == "sarif":
        return json.dumps(as_sarif(found, fallback=wanted.fallback, folder=wanted.folder), indent=2)
    if wanted.form == "json":
        return json.dumps(as_json(found), indent=2, sort_keys=True, default=str)
    console = output()
    with console.capture() as capture:
        print_review(console, found, diff=wanted.diff)
    return capture.get().rstrip("\n")


COMMANDS = (diff,)
