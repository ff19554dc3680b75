"""``vosctl blame``: which commit set a node's value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from vosctl.cli.loading import load_inputs, site_options_of
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.report.blame import Blamed, as_json, print_blame
from vosctl.site.blame import Blame
from vosctl.site.places import joined
from vosctl.site.tree import Mapping, Mark, Value, plain
from vosctl.site.variables.explain import lookup, mask
from vosctl.site.variables.source import canonical


@click.command(short_help="Show which commit set a value.")
@click.argument("node")
@click.argument("path")
@site_options
def blame(site: SiteArguments, *, node: str, path: str) -> int:
    """Show which commit set NODE's value at PATH (as in media.jitter); of a mapping, each value in it."""
    inputs = load_inputs(site_options_of(site), node)
    path = canonical(path)
    value, rest = lookup(inputs.variables(node), path)
    if rest:
        raise UsageError(
            f"nobody sets {path} for {node}", hint=f"vosctl explain {node} {path} shows every layer"
        )
    mark = _key_mark(inputs.variables(node), path)
    known = Blame()
    found = [_blamed(known, *each) for each in _leaves(mask(value, path), path, mark or value.mark)]
    if site.json:
        print_json(as_json(found))
    else:
        print_blame(output(), found)
    return 0


def _leaves(value: Value, path: str, mark: Mark) -> Iterator[tuple[str, Value, Mark]]:
    """Yield every value that is no mapping, with the place of its key; lists count as one value."""
    if not isinstance(value, Mapping) or not value.items:
        yield path, value, mark
        return
    for key, item in value.items.items():
        yield from _leaves(item, joined((key,), path), value.key_marks[key])


def _key_mark(tree: Mapping, path: str) -> Mark | None:
    """Return where the key stands that leads to ``path``; for an item of a list, the list's."""
    value: Value = tree
    mark = None
    while path and isinstance(value, Mapping):
        fitting = [key for key in value.items if path == key or path.startswith((f"{key}.", f"{key}["))]
        key = max(fitting, key=len)
        mark, path = value.key_marks[key], path[len(key) :].removeprefix(".")
        value = value.items[key]
    return mark


def _blamed(known: Blame, path: str, value: Value, mark: Mark) -> Blamed:
    in_file = Path(mark.file).is_file() and not Path(mark.file).is_absolute()
    return Blamed(path, plain(value), mark, known.of(mark.file, mark.line) if in_file else None)


COMMANDS = (blame,)
