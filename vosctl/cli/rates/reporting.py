"""vosctl rates report: what calls earned and cost, by customer, vendor, gateway, agent, destination and time."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options_beside_files
from vosctl.cli.rates.calls import ZONE, Opened, cdr_option, left_out, open_calls
from vosctl.cli.rates.parameters import MOMENT
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.rates.reports.run import Made, Request

NAMES = ("revenue", "gateway-bill", "clearing-account", "clearing-gateway", "agent-income", "settlement",
         "commitments", "deviation", "failed", "margin", "trend")  # fmt: skip
_SHOWN = 40


@click.command("report", short_help="What calls earned and cost: eleven reports, on screen or as a page.")
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
@click.argument("cdrs", nargs=-1, required=True, metavar="CDRS…")
@click.option("--from", "begin", type=MOMENT, help="Calls that began then or later.")
@click.option("--to", "end", type=MOMENT, help="Calls that began before then.")
@click.option(
    "--zone", default="UTC", show_default=True, type=ZONE, help="The time zone of hours, days and months."
)
@click.option(
    "--by", "period", type=click.Choice(["hour", "day", "month"]), help="A row for each of these, too."
)
@click.option("--customer", default="", metavar="NAME", help="Only this customer's calls.")
@click.option("--vendor", default="", metavar="NAME", help="Only this vendor's.")
@click.option(
    "--destination", default="", metavar="NAME", help="Only to this destination of the customers' deck."
)
@click.option("--sort", default="", metavar="COLUMN", help="The highest of this column first.")
@click.option("--format", "kind", default="table", show_default=True,
              type=click.Choice(["table", "csv", "parquet", "html", "json"]))  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write there, not to the screen."
)
@click.option("--all", "every", is_flag=True, help=f"Every row, not only the first {_SHOWN}.")
@cdr_option
@site_options_beside_files
def report_command(
    site: SiteArguments, *, name: str, cdrs: tuple[str, ...], begin: datetime | None, end: datetime | None,
    zone: str, period: str | None, customer: str, vendor: str, destination: str, sort: str, kind: str,
    out: Path | None, every: bool, mapping: Path | None,
) -> int:  # fmt: skip
    """Rate the calls of CDR files by the site's decks and report on them.

    \b
    revenue           what customers owe: charges and taxes, by destination
    gateway-bill      what each customer's gateway brought in, and what it left
    clearing-account  what vendors are owed, by destination
    clearing-gateway  the same by gateway, with ASR, ACD and PDD
    agent-income      what agents brought, and their share
    settlement        both ways, by party
    commitments       what decks' months come to, and what is owed on top
    deviation         what the switch billed beside what the decks say
    failed            failed calls by reason, and what they cost
    margin            by customer, vendor and destination
    trend             all calls over time (with --by)
    """  # noqa: D301  click's own mark
    from vosctl.rates.reports.catalogue import REPORTS  # noqa: PLC0415  not for the help
    from vosctl.rates.reports.run import Request  # noqa: PLC0415
    from vosctl.rates.reports.scope import Scope  # noqa: PLC0415

    kind = "json" if site.json else kind
    if kind == "parquet" and out is None:
        raise UsageError("Parquet is for files", hint="add --out report.parquet")
    report = REPORTS[name]
    if sort and sort not in {figure.name for figure in report.figures}:
        known = ", ".join(figure.name for figure in report.figures)
        raise UsageError(f"{name} has no column '{sort}'", hint=f"it has {known}")
    checked, _ = load_site(site, warn=False)
    scope = Scope(begin, end, zone, customer, vendor, destination)
    with open_calls(checked, cdrs, mapping) as calls:
        work = _Work(calls, Request(report, scope, period or "", sort))
        _write(work.made(work.request), work, kind, out, every=every)
    return 0


class _Work:
    """Calls and their rating, made once for all that is asked of them."""

    def __init__(self, calls: Opened, request: Request) -> None:
        from vosctl.rates.engine.rating import Rating, survey  # noqa: PLC0415  not for the help

        self.request = request
        self._calls = calls
        found = survey(calls.connection, calls.query)
        assert found is not None, "there is a call"
        self._found = found
        self._rating = Rating(calls.connection, calls.rates, found)
        for note in self._rating.notes:
            left_out(note)

    def made(self, request: Request) -> Made:
        """Run a request over the calls."""
        from vosctl.rates.reports.run import on_rating  # noqa: PLC0415  not for the help

        return on_rating(self._rating, self._calls.query, self._found, request, self._calls.rates)


def _write(made: Made, work: _Work, kind: str, out: Path | None, *, every: bool) -> None:
    from vosctl.report.rates import made as report  # noqa: PLC0415  not for the help

    if kind == "json":
        print_json(report.as_json(made))
    elif kind == "parquet":
        assert out is not None
        report.write_parquet(made, out)
    elif kind == "csv" and out is not None:
        with out.open("w", encoding="utf-8", newline="") as stream:
            report.write_csv(made, stream)
    elif kind == "csv":
        report.write_csv(made, sys.stdout)
    elif kind == "html":
        text = _page(made, work)
        if out is None:
            click.echo(text)
        else:
            out.write_text(text, encoding="utf-8")
    else:
        output().print(report.screen(made, most=None if every else _SHOWN))
    if out is not None and kind != "table":
        click.echo(f"{out}: {len(made.rows):,} rows", err=True)


def _page(made: Made, work: _Work) -> str:
    from vosctl.rates.reports.run import Request  # noqa: PLC0415  not for the help
    from vosctl.report.rates.page.page import BY_DAY, BY_DESTINATION, BY_VENDOR, Charts, page  # noqa: PLC0415

    scope = work.request.scope
    charts = Charts(
        destinations=work.made(Request(BY_DESTINATION, scope)),
        vendors=work.made(Request(BY_VENDOR, scope)),
        days=work.made(Request(BY_DAY, scope, "day")),
    )
    return page(made, charts, about=_about(work.request))


def _about(request: Request) -> str:
    scope = request.scope
    parts = [
        f"{word} {moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
        for word, moment in (("from", scope.begin), ("to", scope.end))
        if moment
    ]
    parts += [
        f"{word} {name}"
        for word, name in (
            ("customer", scope.customer),
            ("vendor", scope.vendor),
            ("destination", scope.destination),
        )
        if name
    ]
    return "; ".join(parts) or "all calls"


COMMANDS = (report_command,)
