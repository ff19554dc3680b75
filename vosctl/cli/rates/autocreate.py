"""vosctl rates autocreate: customers' rates from vendors' rates and a wanted profit."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.parameters import AMOUNT, INCREMENT, MOMENT, ROUNDINGS, SIGNED, rounding_named
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError, VosctlError
from vosctl.site.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from vosctl.rates.autocreate import Goal, Made, Wish
    from vosctl.site.decks import Deck, Rates

_NAME = "new"


@click.command("autocreate", short_help="Make customers' rates of vendors' rates and a wanted profit.")
@click.option("--margin", type=SIGNED, metavar="PERCENT", help="Profit in per cent of the customer's rate.")
@click.option("--markup", type=SIGNED, metavar="PERCENT", help="Profit in per cent of the vendor's rate.")
@click.option("--amount", type=SIGNED, help="Profit a minute.")
@click.option(
    "--cost", type=AMOUNT, help="One vendor's rate a minute, in place of decks: shows the arithmetic."
)
@click.option(
    "--vendor",
    "vendors",
    multiple=True,
    metavar="DECK",
    help="A clearing deck of the site; may be repeated [default: all].",
)
@click.option(
    "--of",
    "which",
    default="dearest",
    show_default=True,
    type=click.Choice(["dearest", "cheapest"]),
    help="Of several vendors for a prefix, the one that counts.",
)
@click.option(
    "--places",
    default=5,
    show_default=True,
    type=click.IntRange(0, 8),
    help="Decimal places of the rates made.",
)
@click.option(
    "--rounding",
    default="up",
    show_default=True,
    type=click.Choice(ROUNDINGS),
    help="up never earns less than is wanted.",
)
@click.option("--increment", type=INCREMENT, help="First period and cycle, as 30/6 [default: the vendor's].")
@click.option("--at", "when", type=MOMENT, help="Take the rows that hold then [default: now].")
@click.option(
    "--format",
    "kind",
    default="yaml",
    show_default=True,
    type=click.Choice(["yaml", "csv", "table"]),
    help="How the rows are written.",
)
@click.option(
    "--name",
    default=_NAME,
    show_default=True,
    metavar="GROUP",
    help="What the rate group is called, in YAML.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, which must not exist [default: standard output].",
)
@site_options
def autocreate(
    site: SiteArguments, *, margin: Decimal | None, markup: Decimal | None, amount: Decimal | None, cost: Decimal | None,
    vendors: tuple[str, ...], when: datetime | None, kind: str, name: str, out: Path | None, **how: Any,
) -> int:  # fmt: skip
    """Make a customers' rate group from clearing decks: a margin, a markup or an amount over what vendors take.

    For one rate: vosctl rates autocreate --cost 0.008 --margin 25
    """
    from vosctl.report.rates import autocreate as report  # noqa: PLC0415  not for the help

    wish = _wish(_goal(margin, markup, amount), **how)
    if cost is not None:
        if site.json:
            print_json(report.one_json(cost, wish))
        else:
            output().print(report.one(cost, wish))
        return 0
    rates, decks, made = _create(site, vendors, wish, when or datetime.now(timezone.utc))
    if site.json:
        print_json(report.as_json(rates, made))
    elif kind == "table":
        output().print(report.table(rates, made))
    else:
        comment = f"vosctl rates autocreate: {wish.goal} over the {how['which']} of {', '.join(decks)}, {report.rounding_text(wish.rounding)}"
        _write(report.as_yaml(made, name, comment) if kind == "yaml" else report.as_csv(made), out)
    _tell(made)
    return 0


def _tell(made: list[Made]) -> None:
    """Say how many rows there are, and how many are charged in finer steps than they cost."""
    from vosctl.rates.autocreate import finer  # noqa: PLC0415  not for the help

    click.echo(f"{len(made)} rows", err=True)
    if short := [each.rate.prefix for each in made if finer(each)]:
        text = f"{len(short)} are charged in finer steps than the vendor's, so short calls earn less: {listed(short)}"
        click.echo(f"{text}\n  vosctl rates effective shows how much; or leave out --increment", err=True)


def _goal(margin: Decimal | None, markup: Decimal | None, amount: Decimal | None) -> Goal:
    from vosctl.rates.autocreate import AMOUNT, MARGIN, MARKUP, Goal  # noqa: PLC0415  not for the help

    said = [
        (kind, size)
        for kind, size in ((MARGIN, margin), (MARKUP, markup), (AMOUNT, amount))
        if size is not None
    ]
    if len(said) != 1:
        raise UsageError("what profit is wanted?", hint="one of --margin 25, --markup 33 and --amount 0.002")
    try:
        return Goal(*said[0])
    except ValueError as error:
        raise UsageError(
            str(error), hint="a margin is a share of the price; of the cost it is --markup"
        ) from error


def _wish(goal: Goal, *, which: str, places: int, rounding: str, increment: Any) -> Wish:
    from vosctl.rates.autocreate import Wish  # noqa: PLC0415  not for the help

    steps = (
        None
        if increment is None
        else (increment.first if increment.first != increment.cycle else 0, increment.cycle)
    )
    return Wish(goal, rounding_named(places, rounding), dearest=which == "dearest", increment=steps)


def _create(
    site: SiteArguments, vendors: tuple[str, ...], wish: Wish, when: datetime
) -> tuple[Rates, list[str], list[Made]]:
    from vosctl.rates.autocreate import create  # noqa: PLC0415  not for the help

    checked, _ = load_site(site, warn=False)
    nodes = [checked.nodes[name] for name in checked.selected]
    known = {name: node for node in nodes for name in node.rates.clearing}
    for name in vendors:
        if name not in known:
            raise UsageError(
                f"no clearing deck is named '{name}'{did_you_mean(name, known)}",
                hint=f"known in rates.clearing: {listed(known) or 'none'}",
            )
    if not known:
        raise UsageError(
            "the site has no clearing decks",
            hint="rates.clearing holds what vendors cost; or give --cost 0.008",
        )
    chosen: list[Deck] = [known[name].rates.clearing[name] for name in vendors or known]
    rates = next(iter(known.values())).rates
    return rates, [deck.name for deck in chosen], list(create(rates, chosen, wish, when))


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise VosctlError(
            f"{out}: {error.strerror}", hint="a deck is never written over; name another file"
        ) from error


COMMANDS = (autocreate,)
