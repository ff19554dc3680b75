"""vosctl rates margin: margin and markup by prefix, customer and vendor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.calls import cdr_option, left_out, open_calls
from vosctl.cli.rates.parameters import AMOUNT, DURATION, MOMENT
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.site.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from vosctl.rates.margins import Margin, Question
    from vosctl.site.model import Site

_SHOWN = 20


@click.command("margin", short_help="Margin and markup by prefix, customer and vendor.")
@click.option("--price", type=AMOUNT, help="With --cost: the arithmetic of one price, without a site.")
@click.option("--cost", type=AMOUNT, help="What the vendor takes.")
@click.option("--from", "group", metavar="GROUP", help="Only this rate group [default: all].")
@click.option(
    "--vendor", metavar="GATEWAY", help="Against this vendor, locked or not [default: the one tried first]."
)
@click.option(
    "--by",
    default="prefix",
    show_default=True,
    type=click.Choice(["prefix", "customer", "vendor"]),
    help="A row for each of these.",
)
@click.option(
    "--seconds",
    type=DURATION,
    help="Of a call that long, with its increments and fees [default: the rate a minute].",
)
@click.option("--at", "when", type=MOMENT, help="By the rows that hold then [default: now].")
@click.option("--cdrs", multiple=True, metavar="FILES",
              help="Of calls that were made (CSV, Parquet): by the decks, and what the switch's amounts deviate.")  # fmt: skip
@click.option("--losing", is_flag=True, help="Only what loses.")
@click.option("--all", "every", is_flag=True, help=f"Every prefix, not only the {_SHOWN} lowest margins.")
@cdr_option
@site_options
def margin(
    site: SiteArguments, *, price: Decimal | None, cost: Decimal | None, group: str | None, vendor: str | None,
    by: str, seconds: Decimal | None, when: datetime | None, losing: bool, every: bool, cdrs: tuple[str, ...],
    mapping: Path | None,
) -> int:  # fmt: skip
    """Say what each prefix earns with the vendor that it goes to, as a share of price (margin) and cost (markup).

    For one price: vosctl rates margin --price 0.015 --cost 0.010
    """
    if price is not None or cost is not None:
        return _one(site, price, cost)
    if cdrs:
        return _actual(site, cdrs, mapping, by, most=None if every else _SHOWN, losing=losing)
    from vosctl.rates.margins import Question, summaries  # noqa: PLC0415  not for the help
    from vosctl.report.rates import margin as report  # noqa: PLC0415

    checked, _ = load_site(site, warn=False)
    question = Question(when or datetime.now(timezone.utc), seconds, vendor)
    found = [each for each in _margins(checked, question, group) if each.losing or not losing]
    if by != "prefix":
        made = summaries(found, by=by)
        _print(site, report.summary_json(made), report.summary(made, by=by))
        return 0
    found.sort(key=lambda each: (each.margin is None, each.margin or 0, each.group, each.prefix))
    of = "a minute" if seconds is None else f"a call of {seconds:f} s"
    _print(site, report.prefixes_json(found), report.prefixes(found, most=None if every else _SHOWN, of=of))
    return 0


def _print(site: SiteArguments, data: object, screen: object) -> None:
    if site.json:
        print_json(data)
    else:
        output().print(screen)


def _actual(
    site: SiteArguments,
    cdrs: tuple[str, ...],
    mapping: Path | None,
    by: str,
    *,
    most: int | None,
    losing: bool,
) -> int:
    from vosctl.rates.actual import actual_margins  # noqa: PLC0415  not for the help
    from vosctl.report.rates import actual as report  # noqa: PLC0415

    checked, _ = load_site(site, warn=False)
    with open_calls(checked, cdrs, mapping) as calls:
        found = actual_margins(calls.connection, calls.query, calls.rates, by=by, note=left_out)
        currency = calls.rates.currency
    found = [each for each in found if each.profit < 0 or not losing]
    _print(site, report.as_json(found, currency), report.screen(found, by=by, currency=currency, most=most))
    return 0


def _one(site: SiteArguments, price: Decimal | None, cost: Decimal | None) -> int:
    from vosctl.report.rates import margin as report  # noqa: PLC0415  not for the help

    if price is None or cost is None:
        raise UsageError("a margin needs a price and a cost", hint="--price 0.015 --cost 0.010")
    _print(site, report.one_json(price, cost), report.one(price, cost))
    return 0


def _margins(site: Site, question: Question, group: str | None) -> Iterator[Margin]:
    """Yield the margins of each group on the first node that has customers of it, or else has it."""
    from vosctl.compile.routes import sellers, vendors  # noqa: PLC0415  not for the help
    from vosctl.rates.callers import groups_called  # noqa: PLC0415
    from vosctl.rates.margins import margins  # noqa: PLC0415

    nodes = {
        caller.group: node
        for node, caller in reversed(groups_called([site.nodes[each] for each in site.selected]))
    }
    if group is not None and group not in nodes:
        raise UsageError(f"no rate group is named '{group}'{did_you_mean(group, [str(name) for name in nodes])}",
                         hint=f"known in rates.groups: {listed([str(name) for name in nodes]) or 'none'}")  # fmt: skip
    _check_vendor(site, question.vendor)
    for name, node in sorted(nodes.items(), key=lambda item: str(item[0])):
        if group in (None, name):
            seller = next(each for each in sellers(node) if each.deck.name == name)
            yield from margins(seller, vendors(site, node), question)


def _check_vendor(site: Site, name: str | None) -> None:
    from vosctl.site.model import GatewayType  # noqa: PLC0415  not for the help

    gateways = (gateway for node in site.nodes.values() for gateway in node.gateways.values())
    known = list(dict.fromkeys(each.name for each in gateways if each.type is GatewayType.ROUTING))
    if name is not None and name not in known:
        raise UsageError(
            f"no vendor's gateway is named '{name}'{did_you_mean(name, known)}",
            hint=f"vendors: {listed(known) or 'none'}",
        )


COMMANDS = (margin,)
