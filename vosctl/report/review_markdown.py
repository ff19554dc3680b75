"""A review as GitHub-flavoured Markdown for a pull request: risks on top, each node folded, never more than 60 KB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from vosctl.plan.printable import printable
from vosctl.plan.risk import Level
from vosctl.report.review import headline, in_repository, names, title, where
from vosctl.review.model import Finding, NodeReview, Review

LIMIT = 60_000
"""Bytes; GitHub takes comments of up to 65,536 characters."""

_WORDS = {Level.ERROR: "**error**", Level.WARNING: "warning", Level.NOTE: "note", None: ""}
_LEVELS = (*Level, None)
_FEW = 3
Link = Callable[[Finding], str]


def render(review: Review, *, links: str = "", folder: str = "", limit: int = LIMIT) -> str:
    """Return the review; file:line become links below ``links``, the URL of the repository's files, if given.

    ``folder`` is where the site stands in the repository.

    What does not fit into ``limit`` bytes is left out, diffs first, then findings without risk, and
    said to be missing.
    """
    link = _linker(links, folder)
    for level, detail in ((None, True), (None, False), (Level.NOTE, False), (Level.ERROR, False)):
        text = "\n".join(_lines(review, link, least=level, detail=detail))
        if len(text.encode()) <= limit:
            return text
    return _cut(text, limit)


def _lines(review: Review, link: Link, *, least: Level | None, detail: bool) -> Iterator[str]:
    yield f"### {_html(headline(review))}"
    yield ""
    if review.risks:
        yield from ("| risk | | findings | what to do |", "|---|---|---|---|")
        for risk, count in review.risks.items():
            about = risk.about
            yield f"| `{risk.value}` | {_WORDS[about.level]} | {count} | {_cell(f'{about.title} {about.help}')} |"
        yield ""
    left = 0
    for nodes, findings in review.alike():
        kept = [each for each in findings if _LEVELS.index(each.level) <= _LEVELS.index(least)]
        left += len(findings) - len(kept)
        if kept:
            yield from _nodes(nodes, kept, link, detail=detail)
    if review.same and len(review.same) < len(review.nodes):
        yield f"Nothing changes on {_html(names(review.same))}."
    if left or not detail:
        what = " and ".join(filter(None, ("diffs" * (not detail), f"{left} findings" * bool(left))))
        yield f"\n_Too long for a comment: {what} left out; `vosctl diff` shows all._"


def _nodes(
    nodes: Sequence[NodeReview], findings: Sequence[Finding], link: Link, *, detail: bool
) -> Iterator[str]:
    risky = sum(bool(each.risks) for each in findings)
    note = f", {risky} to look at" if risky else ""
    opened = " open" if risky and len(nodes) <= _FEW else ""
    plural = "" if len(findings) == 1 else "s"
    yield f"<details{opened}><summary><b>{_html(title(nodes))}</b>: {len(findings)} change{plural}{note}</summary>"
    yield from ("", "| | what changes | risk | where |", "|---|---|---|---|")
    for area, members in groupby(findings, lambda finding: finding.area):
        for finding in members:
            risks = ", ".join(f"`{risk.value}`" for risk in finding.risks)
            yield f"| {area.value} | {_cell(str(finding))} | {risks} | {link(finding)} |"
    yield ""
    for finding in findings if detail else ():
        yield from _folded(finding)
    yield from ("</details>", "")


def _folded(finding: Finding) -> Iterator[str]:
    if not finding.detail:
        return
    body = [printable(line) for line in finding.detail]
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"<details><summary><code>{_html(finding.subject)}</code></summary>"
    yield from ("", f"{fence}diff", *body, fence, "", "</details>", "")


def _linker(links: str, folder: str) -> Link:
    def link(finding: Finding) -> str:
        place = where(finding)
        if not links or finding.gone or finding.mark is None or not place:
            return f"`{place}`" if place else ""
        target = f"{links.rstrip('/')}/{in_repository(finding, folder)}#L{finding.mark.line}"
        return f"[{place}]({target})"

    return link


def _cut(text: str, limit: int) -> str:
    """Cut at a line's end; a heading and the risks always fit."""
    note = "\n\n</details>\n\n_Too long for a comment, cut here; `vosctl diff` shows all._"
    room = limit - len(note.encode())
    kept = text.encode()[:room].decode(errors="ignore").rpartition("\n")[0]
    return kept + note


def _cell(text: str) -> str:
    return _html(text).replace("|", "&#124;")


def _html(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
