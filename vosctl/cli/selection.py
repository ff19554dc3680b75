"""Nodes and trunks named as arguments, beside the options that narrow a site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from vosctl.cli.options import SiteArguments
from vosctl.errors import UsageError


def narrowed(site: SiteArguments, words: Sequence[str]) -> SiteArguments:
    """Return the arguments limited to the nodes or patterns among ``words``; a file among them is the playbook."""
    site, names = divided(site, words)
    limit = ":".join(names) or None
    if limit and site.limit:
        if len(names) > 1:
            raise UsageError("name the nodes or give --limit, not both")
        limit = f"{site.limit}:&{limit}"
    return replace(site, limit=limit or site.limit)


def divided(site: SiteArguments, words: Sequence[str]) -> tuple[SiteArguments, tuple[str, ...]]:
    """Return the arguments with the file among ``words`` as playbook, and the words that are no file."""
    found = [*words, *([str(site.playbook)] if site.playbook is not None else [])]
    books = [word for word in found if Path(word).is_file()]
    if len(books) > 1:
        raise UsageError(f"{' and '.join(books)} are files, and one playbook is all that can be meant")
    names = tuple(word for word in found if word not in books)
    return replace(site, playbook=Path(books[0]) if books else None), names
