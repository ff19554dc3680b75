"""vosctl rates breakeven: how much traffic pays a month's fixed costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from vosctl.cli.rates.parameters import AMOUNT, DURATION, SIGNED, Amount, json_option
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.rates.billing import fraction_text
from vosctl.rates.breakeven import CALL_SECONDS, DAYS, Business, break_even
from vosctl.report.rates import breakeven as report

_ZERO, _ALL, _LEAST_ASR = Decimal(0), Decimal(100), Decimal("0.01")


@click.command("breakeven", short_help="How much traffic pays the fixed costs of a month.")
@click.option("--fixed", required=True, type=AMOUNT,
              help="What a month costs whatever is sold: servers, licences, staff.")  # fmt: skip
@click.option("--profit", type=SIGNED, help="What a minute earns: the customer's rate less the vendor's.")
@click.option(
    "--price", type=AMOUNT, help="With --cost, in place of --profit: what the customer pays a minute."
)
@click.option("--cost", type=AMOUNT, help="What the vendor takes a minute.")
@click.option("--call", "call_seconds", default=CALL_SECONDS, show_default="3m", type=DURATION,
              help="How long an answered call lasts on average (ACD).")  # fmt: skip
@click.option(
    "--days", default=DAYS, show_default=True, type=click.IntRange(1, 366), help="Days of the month."
)
@click.option("--asr", default=_ALL, show_default=True, type=Amount(least=_LEAST_ASR, most=_ALL),
              help="Per cent of attempts that are answered.")  # fmt: skip
@click.option("--failed", default=_ZERO, show_default=True, type=AMOUNT,
              help="What an attempt costs that is not answered.")  # fmt: skip
@json_option
def breakeven(
    *, profit: Decimal | None, price: Decimal | None, cost: Decimal | None, as_json: bool, **terms: Any
) -> int:
    """Say how many minutes and calls pay the fixed costs of a month, and how many calls a second that is.

    For example: vosctl rates breakeven --fixed 2000 --profit 0.002
    """
    business = Business(profit=_profit(profit, price, cost), **terms)
    if not business.call_seconds:
        raise UsageError("calls of 0 seconds earn nothing", hint="say how long a call lasts, as --call 3m")
    if business.minute <= 0:
        after = " after its failed attempts are paid" if business.failures and business.failed else ""
        raise UsageError(
            f"a minute earns {fraction_text(business.minute)}{after}: no traffic pays {business.fixed:f} a month",
            hint="raise the price or find a cheaper vendor: vosctl rates routes NUMBER",
        )
    found = break_even(business)
    if as_json:
        print_json(report.as_json(business, found))
    else:
        output().print(report.screen(business, found))
    return 0


def _profit(profit: Decimal | None, price: Decimal | None, cost: Decimal | None) -> Decimal:
    """Return what a minute earns, said in one of two ways."""
    if profit is not None and price is None and cost is None:
        return profit
    if profit is None and price is not None and cost is not None:
        return price - cost
    raise UsageError("what does a minute earn?", hint="--profit 0.002, or --price 0.010 --cost 0.008")


COMMANDS = (breakeven,)
