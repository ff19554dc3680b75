"""Which commit set each value: a line a value, with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from vosctl.site.blame import Origin
from vosctl.site.tree import Mark


class Blamed(Struct, frozen=True):
    """A variable's value (secrets masked), where it stands and since which commit; None for no git's file."""

    path: str
    value: Any
    mark: Mark
    origin: Origin | None


def print_blame(console: Console, found: Sequence[Blamed]) -> None:
    """Write a row a value: the commit, when, who, the variable, its value, where it stands, and the commit's subject."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("commit", "when", "author", "variable", "value", "where", "subject"):
        table.add_column(heading, overflow="fold")
    for each in found:
        origin = each.origin
        when = origin.when.strftime("%Y-%m-%d") if origin and origin.when else "-"
        author = origin.author if origin else ""
        commit = origin.short if origin else "no file"
        table.add_row(commit, when, author or "-", each.path, _shown(each.value), f"{each.mark.file}:{each.mark.line}",
                      origin.summary if origin else "")  # fmt: skip
    console.print(table)


def as_json(found: Sequence[Blamed]) -> list[dict[str, Any]]:
    """Return the rows as JSON-ready objects."""
    return [
        {
            "path": each.path,
            "value": each.value,
            "file": each.mark.file,
            "line": each.mark.line,
            "commit": each.origin.commit if each.origin else None,
            "author": each.origin.author if each.origin else None,
            "time": each.origin.when.isoformat() if each.origin and each.origin.when else None,
            "subject": each.origin.summary if each.origin else None,
        }
        for each in found
    ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
