"""vosctl rates simulate: what yesterday's calls would have earned by today's branch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.options import SiteArguments, site_options_beside_files
from vosctl.cli.rates.calls import Opened, cdr_option, left_out, open_calls
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.rates.simulation import Earned

_SHOWN = 25
_BY = ("customer", "vendor", "destination")


@click.command("simulate", short_help="What yesterday's calls would have earned by these rates.")
@click.argument("cdrs", nargs=-1, required=True, metavar="CDRS…")
@click.option("--from", "revision", metavar="REV",
              help="Compare with the rates of a git revision [default: with what the CDRs say was charged].")  # fmt: skip
@click.option(
    "--by", type=click.Choice(_BY), default="customer", show_default=True, help="A line for each of these."
)
@click.option("--csv", "as_csv", is_flag=True, help="All lines as CSV on standard output.")
@click.option("--all", "every", is_flag=True, help=f"Every line, not only the first {_SHOWN}.")
@cdr_option
@site_options_beside_files
def simulate_command(
    site: SiteArguments, *, cdrs: tuple[str, ...], revision: str | None, by: str, as_csv: bool, every: bool,
    mapping: Path | None,
) -> int:  # fmt: skip
    """Rate the answered calls of CDR files by the working tree, and say what that changes; what loses most first.

    Every call is rated as if it began when it did, by the decks as they are now. Calls that lack a rate on one
    side earn nothing known: they are counted as unpriced and left out of the amounts. Taxes are nobody's profit.
    """
    from vosctl.rates import simulation  # noqa: PLC0415  not for the help
    from vosctl.report.rates import simulation as report  # noqa: PLC0415

    checked, _ = load_site(site, warn=False)
    with open_calls(checked, cdrs, mapping) as calls:
        was = _was(site, calls, revision, by)
        would = simulation.earned(calls.connection, calls.query, calls.rates, by, left_out)
        found, currency = simulation.lines(was, would), calls.rates.currency
    titles = revision or "billed", "now"
    if as_csv:
        click.echo(report.as_csv(found, by), nl=False)
    elif site.json:
        print_json(report.as_json(found, by, currency, titles))
    else:
        output().print(report.screen(found, by, currency, titles, len(found) if every else _SHOWN))
    return 0


def _was(site: SiteArguments, calls: Opened, revision: str | None, by: str) -> dict[str, Earned]:
    """Return what the calls earned: by a revision's rates, or by what the switch wrote."""
    from vosctl.rates import simulation  # noqa: PLC0415  not for the help
    from vosctl.rates.cdr.parties import filled, parties, rates_of  # noqa: PLC0415
    from vosctl.rates.cdr.reading import TABLE  # noqa: PLC0415
    from vosctl.review.revisions import portable, read_revision  # noqa: PLC0415

    if revision is None:
        found = simulation.billed(calls.connection, calls.query, by)
        if all(sums.unpriced == sums.calls for sums in found.values()):
            raise UsageError(
                "the CDRs do not say what calls were billed and cost",
                hint="--from REV compares with the rates of a git revision, as --from main",
            )
        return found
    then = read_revision(portable(site_options_of(site)), revision).site
    query = filled(f"from {TABLE}", parties(then))
    return simulation.earned(calls.connection, query, rates_of(then), by)


COMMANDS = (simulate_command,)
