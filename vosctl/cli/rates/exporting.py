"""vosctl rates export: a deck of the site as a file that vosctl, or a customer, can read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.named import KINDS, deck_named
from vosctl.cli.rates.parameters import MOMENT
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.site.decks import Deck, Rate

_FORMATS = ("csv", "xlsx", "parquet", "yaml")
_BINARY = ("xlsx", "parquet")


@click.command("export", short_help="Write a deck as CSV, XLSX, Parquet or YAML.")
@click.argument("deck")
@click.option(
    "--kind", type=click.Choice(KINDS), help="Where a rate group and a clearing deck share the name."
)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="The format [default: that of --out, else csv]."
)
@click.option(
    "--at",
    "when",
    type=MOMENT,
    help="Only what holds then: one row a prefix, without dates [default: every row].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write [default: standard output].",
)
@site_options
def export_command(
    site: SiteArguments,
    *,
    deck: str,
    kind: str | None,
    form: str | None,
    when: datetime | None,
    out: Path | None,
) -> int:
    """Write the rows of DECK, a rate group, a clearing deck or private rates of the site.

    The file has our own column names, so that a deck reads it without a mapping; * is the default row.
    """
    from vosctl.rates.files.write import cells, csv_text, write_file, yaml_text  # noqa: PLC0415  not for the help

    checked, _ = load_site(site, warn=False)
    rows = _rows(deck_named(checked, deck, kind), when)
    form = form or _form(out)
    if site.json:
        print_json({"deck": deck, "rows": [{**cells(row), "at": str(row.mark)} for row in rows]})
    elif out is not None:
        write_file(form, rows, out)
        output().print(f"{len(rows)} rows written to {out}")
    elif form in _BINARY:
        raise UsageError(f"{form} is no text for the terminal", hint=f"give --out {deck}.{form}")
    else:
        click.echo(csv_text(rows) if form == "csv" else yaml_text(rows), nl=False)
    return 0


def _form(out: Path | None) -> str:
    if out is None:
        return "csv"
    known = {"yml": "yaml", **{form: form for form in _FORMATS}}
    suffix = out.suffix.lower().lstrip(".")
    if suffix not in known:
        raise UsageError(f"--out {out}: which format is that?", hint=f"say --format: {', '.join(_FORMATS)}")
    return known[suffix]


def _rows(deck: Deck, when: datetime | None) -> list[Rate]:
    """Return the deck's rows, or those in force at a moment, sorted by prefix."""
    if when is None:
        rows = list(deck.every)
    else:
        rows = [replace(row, section="", valid_from=None, valid_until=None) for row in deck.at(when).values()]
    return sorted(
        rows, key=lambda row: (row.prefix, row.section, row.valid_from.timestamp() if row.valid_from else 0)
    )


COMMANDS = (export_command,)
