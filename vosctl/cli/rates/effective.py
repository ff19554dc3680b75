"""vosctl rates effective: what 60/60, 30/6, 6/6 and 1/1 really cost."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from vosctl.cli.rates.parameters import AMOUNT, DURATION, INCREMENT, json_option
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError
from vosctl.rates.effective import Exponential, Increment, Measured, Spread, effective
from vosctl.report.rates import effective as report

_USUAL = (Increment(60, 60), Increment(30, 6), Increment(6, 6), Increment(1, 1))
_ACD = Decimal(180)


class _Durations(click.ParamType[Measured]):
    name = "s:n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Measured:
        """Return the calls by duration; without a count it is one call."""
        if isinstance(value, Measured):
            return value
        calls: dict[Decimal, int] = {}
        for part in str(value).split(","):
            length, _, count = part.strip().partition(":")
            if not re.fullmatch(r"\d{0,12}", count):
                self.fail(f"'{count}' in '{part}' is not a number of calls; write 32:120,57:80", param, ctx)
            seconds = DURATION.convert(length, param, ctx)
            calls[seconds] = calls.get(seconds, 0) + int(count or 1)
        try:
            return Measured(calls)
        except ValueError as error:
            self.fail(
                f"{error} in '{value}'; write durations and how many calls, as 32:120,57:80", param, ctx
            )


@click.command("effective", short_help="What 60/60, 30/6, 6/6 and 1/1 really cost.")
@click.option(
    "--rate",
    default=Decimal("0.01"),
    show_default=True,
    type=AMOUNT,
    help="The rate of the deck, a minute.",
)
@click.option("--increment", "increments", multiple=True, default=_USUAL, type=INCREMENT,
              show_default="60/60, 30/6, 6/6, 1/1", help="First period and cycle in seconds; may be repeated.")  # fmt: skip
@click.option("--mean", type=DURATION, show_default="3m",
              help="Only the average duration (ACD) is known: an exponential spread about it.")  # fmt: skip
@click.option(
    "--durations", type=_Durations(), help="Durations and how many calls lasted so long: 32:120,57:80,3m:40."
)
@click.option("--cdrs", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Calls as they were: CSV, XLSX or Parquet with callee and duration_ms (or duration, in seconds).")  # fmt: skip
@json_option
def effective_command(
    *,
    rate: Decimal,
    increments: tuple[Increment, ...],
    mean: Decimal | None,
    durations: Measured | None,
    cdrs: Path | None,
    as_json: bool,
) -> int:
    """Say what billing increments really cost a minute that is spoken, over a spread of call durations.

    For example: vosctl rates effective --rate 0.01 --mean 45s
    """
    spread = _spread(mean, durations, cdrs)
    found = effective(rate, increments, spread)
    if as_json:
        print_json(report.as_json(rate, spread, found))
    else:
        output().print(report.screen(rate, spread, found))
    return 0


def _spread(mean: Decimal | None, durations: Measured | None, cdrs: Path | None) -> Spread:
    if sum(each is not None for each in (mean, durations, cdrs)) > 1:
        raise UsageError("the durations are said twice", hint="give one of --mean, --durations and --cdrs")
    if durations is not None:
        return durations
    if cdrs is not None:
        return _measured(cdrs)
    if mean is not None and not mean:
        raise UsageError("calls of 0 seconds cost nothing", hint="say how long a call lasts, as --mean 3m")
    return Exponential(mean or _ACD)


def _measured(path: Path) -> Measured:
    from vosctl.rates.changes.traffic import read_calls  # noqa: PLC0415  few ask about calls

    try:
        return Measured(Counter(call.seconds for call in read_calls(path)))
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="a call with a duration of 0 was not answered") from error


COMMANDS = (effective_command,)
