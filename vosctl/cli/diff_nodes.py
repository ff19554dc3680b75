"""``vosctl diff REVISION --nodes``: each node's own revision, asked over SSH, held against the one named."""

from __future__ import annotations

from collections.abc import Mapping

from vosctl.cli.nodes import print_errors, push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments
from vosctl.errors import UsageError
from vosctl.push import api
from vosctl.push.result import HostResult, exit_code
from vosctl.review.make import Revision, review_running
from vosctl.review.model import Review
from vosctl.review.revisions import read_revision
from vosctl.site.read import SiteOptions

_DIRTY = "-dirty"


def review_nodes(
    site: SiteArguments, nodes: NodeArguments, options: SiteOptions, revision: str
) -> tuple[Review, int]:
    """Return what becomes of the nodes that answer, and the exit code for those that do not.

    Raises UsageError where a node runs a revision that this repository does not know.
    """
    if ".." in revision:
        raise UsageError("vosctl diff --nodes takes one revision", hint="what the nodes run is the other one")
    new = read_revision(options, revision)
    results = run_on_nodes(
        site, new.site, lambda **kw: api.status_site(new.site, options=push_options(site, nodes), **kw)
    )
    print_errors(results)
    applied = {name: _applied(result) for name, result in results.items() if result.error is None}
    known = _read(options, applied)
    notes = {name: _note(text) for name, text in applied.items()}
    running = {name: known.get(_clean(text)) for name, text in applied.items()}
    return review_running(running, new, notes), exit_code(results)


def _applied(result: HostResult) -> str | None:
    """Return the git revision that was applied last, None where nothing was; "" from outside of git."""
    applied = result.report.get("applied") or {}
    return (applied.get("revision") or "") if applied.get("id") else None


def _clean(text: str | None) -> str:
    return (text or "").removesuffix(_DIRTY)


def _note(text: str | None) -> str:
    if text is None:
        return "nothing was applied here yet"
    if not text:
        return "was applied from outside of git: nobody knows what it runs; vosctl plan compares it"
    if text.endswith(_DIRTY):
        return f"runs {_clean(text)} with changes that nobody committed: those are not in this comparison"
    return ""


def _read(options: SiteOptions, applied: Mapping[str, str | None]) -> dict[str, Revision]:
    found: dict[str, Revision] = {}
    for name, text in applied.items():
        commit = _clean(text)
        if not commit or commit in found:
            continue
        try:
            found[commit] = read_revision(options, commit)
        except UsageError as error:
            raise UsageError(
                f"{name} runs {commit}: {error.message}", hint="git fetch --all, then again"
            ) from error
    return found
