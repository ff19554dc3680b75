"""Builds docs/*.md, README.md and CHANGELOG.md into plain HTML and checks that every link leads somewhere.

Usage: ``python scripts/docs.py build/docs``. Returns 1, with ``file:line: what``, for a broken link, and for
a figure of bench/results.json that a page quotes without the command that measures it.
"""

from __future__ import annotations

import html
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
RESULTS = Path("bench/results.json")
STYLE = (
    "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif;color:#222}"
    "pre,code{font-family:ui-monospace,monospace;font-size:.9em;background:#f4f4f2}pre{padding:.8rem;overflow-x:auto}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ddd;padding:.3rem .8rem .3rem 0;text-align:left}"
)
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:")


def main(target: Path) -> int:
    """Write the pages below ``target`` and return 1 when something in them is wrong."""
    sources = [Path(name) for name in PAGES if Path(name).exists()] + sorted(Path("docs").glob("**/*.md"))
    parser = MarkdownIt("commonmark").enable("table")
    findings = [finding for source in sources for finding in _build(parser, source, target)]
    for finding in findings:
        print(finding)
    print(f"{len(sources)} pages in {target}, {len(findings)} problems")
    return 1 if findings else 0


def _build(parser: MarkdownIt, source: Path, target: Path) -> Iterator[str]:
    text = source.read_text(encoding="utf-8")
    tokens = parser.parse(text)
    yield from _links(tokens, source)
    yield from _figures(text, source)
    for token in _flat(tokens):
        link = str(token.attrs.get("href", ""))
        if token.type == "link_open" and not OUTSIDE.match(link):
            token.attrs["href"] = re.sub(r"\.md(#|$)", r".html\1", link)
        elif token.type == "heading_open":
            token.attrs["id"] = _anchor(tokens[tokens.index(token) + 1].content)
    body = parser.renderer.render(tokens, parser.options, {})
    title = next((t.content for before, t in itertools.pairwise(tokens) if before.tag == "h1"), source.stem)
    page = target / source.with_suffix(".html")
    page.parent.mkdir(parents=True, exist_ok=True)
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n'
    page.write_text(head + body, encoding="utf-8")


def _links(tokens: list[Token], source: Path) -> Iterator[str]:
    for block in tokens:
        for token in block.children or ():
            link = str(token.attrs.get("href") or token.attrs.get("src") or "")
            if not link or OUTSIDE.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = (source.parent / name) if name else source
            line = block.map[0] + 1 if block.map else 1
            if not target.exists():
                yield f"{source}:{line}: {link} leads nowhere"
            elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
                yield f"{source}:{line}: {name or source} has no heading #{anchor}"


def _figures(text: str, source: Path) -> Iterator[str]:
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for result in results:
        if f"`{result['name']}`" in text and result["command"] not in text:
            yield f"{source}:1: quotes {result['name']} without its command ({result['command']})"


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\- ]", "", heading.lower())
    return words.strip().replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs")))
