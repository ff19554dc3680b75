"""vosctl rates quote: what a call to a number would cost and earn, with the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.parameters import DURATION, MOMENT, NUMBER
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.site.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from vosctl.rates.pricing import Caller
    from vosctl.rates.quote import Call, Quote
    from vosctl.site.model import Node, Site

_MINUTE = Decimal(60)


@click.command("quote", short_help="What a call to a number costs and earns.")
@click.argument("number", type=NUMBER)
@click.option(
    "--from",
    "caller",
    metavar="NAME",
    help="A rate group, account, customer's gateway or caller's number [default: each group that sells it].",
)
@click.option(
    "--at", "when", type=MOMENT, help="When the call begins, UTC unless it says otherwise [default: now]."
)
@click.option(
    "--seconds",
    default=_MINUTE,
    show_default=True,
    type=DURATION,
    help="How long it lasts: 75, 75.5, 3m or 1:15.",
)
@click.option(
    "--used",
    default=0,
    type=click.IntRange(0),
    metavar="MINUTES",
    help="Minutes of the month before it, for volume tiers.",
)
@click.option(
    "--package-left",
    default=0,
    type=click.IntRange(0),
    metavar="SECONDS",
    help="What is left of the package's minutes.",
)
@site_options
def quote_command(
    site: SiteArguments,
    *,
    number: str,
    caller: str | None,
    when: datetime | None,
    seconds: Decimal,
    used: int,
    package_left: int,
) -> int:
    """Say what a call to NUMBER costs its caller and earns with each vendor, with the arithmetic line by line.

    A call is priced by the rows that hold when it begins. Exit code 1 where nobody sells or carries it.
    """
    from vosctl.rates.pricing import Used  # noqa: PLC0415  not for the help
    from vosctl.rates.quote import Call  # noqa: PLC0415

    checked, _ = load_site(site, warn=False)
    call = Call(number, when or datetime.now(timezone.utc), seconds, Used(Decimal(used), package_left))
    answers = _answers(checked, call, caller)
    if caller is None:
        answers = [each for each in answers if each.quote.prices] or answers
    if site.json:
        print_json({"quotes": [_json(each) for each in answers]})
    else:
        _show(answers)
    return 0 if all(each.quote.best for each in answers) else 1


class _Answer(Struct, frozen=True):
    """A quote and the nodes that give it; they agree in all that is shown."""

    quote: Quote
    node: Node
    nodes: tuple[str, ...]


def _answers(site: Site, call: Call, name: str | None) -> list[_Answer]:
    """Return the quotes of the nodes selected, one for those that agree."""
    from vosctl.compile.routes import vendors  # noqa: PLC0415  not for the help
    from vosctl.rates.quote import quote  # noqa: PLC0415

    found: dict[object, _Answer] = {}
    for node, caller in _callers(site, name):
        made = quote(node.rates, node.routing, vendors(site, node), caller, call)
        key = _shown(made)
        nodes = found[key].nodes if key in found else ()
        found[key] = _Answer(made, node, (*nodes, node.name))
    return list(found.values())


def _shown(quote: Quote) -> object:
    prices = tuple((each.source, each.amount, str(each.rate.mark)) for each in quote.prices)
    sides = ((side.vendor.name, side.vendor.via, side.locked, side.price) for side in quote.sides)
    costs = tuple((*names, price and (price.amount, str(price.rate.mark))) for *names, price in sides)
    return quote.caller, prices, costs


def _callers(site: Site, name: str | None) -> list[tuple[Node, Caller]]:
    """Return who is meant on which node: a name where it is known, else each group where its customers call."""
    from vosctl.rates.callers import caller_named, groups_called, names  # noqa: PLC0415  not for the help

    nodes = [site.nodes[each] for each in site.selected]
    if name is None:
        found = groups_called(nodes)
        if not found:
            raise UsageError("no node selected sells anything", hint="rates.groups holds what customers pay")
        return found
    named = [(node, caller) for node in nodes if (caller := caller_named(node, name)) is not None]
    if not named:
        known = list(dict.fromkeys(each for node in nodes for each in names(node)))
        raise UsageError(
            f"nobody who calls is named '{name}'{did_you_mean(name, known)}",
            hint=f"groups, accounts, customers' gateways and phones: {listed(known) or 'none'}",
        )
    return _where_customers_are(named)


def _where_customers_are(named: list[tuple[Node, Caller]]) -> list[tuple[Node, Caller]]:
    """Return the nodes that have customers of the caller's group, where any has."""
    from vosctl.rates.callers import customers_groups  # noqa: PLC0415

    there = [(node, caller) for node, caller in named if caller.group in customers_groups(node)]
    return there or named


def _show(answers: Sequence[_Answer]) -> None:
    from vosctl.report.rates.quote import screen  # noqa: PLC0415  rich takes its time

    console = output()
    for number, each in enumerate(answers):
        if number:
            console.print()
        console.print(screen(each.node.rates, each.quote, ", ".join(each.nodes)))


def _json(answer: _Answer) -> dict[str, Any]:
    from vosctl.report.rates.quote import as_json  # noqa: PLC0415

    return as_json(answer.node.rates, answer.quote, list(answer.nodes))


COMMANDS = (quote_command,)
