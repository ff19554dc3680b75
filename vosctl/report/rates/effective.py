"""What billing increments really cost, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vosctl.rates.effective import Effective, Spread
from vosctl.report.rates.figures import rounded, thousands

_RATE_PLACES = 6


def screen(rate: Decimal, spread: Spread, found: Sequence[Effective]) -> Group:
    """Return the increments with seconds charged, the rate that they come to, and what that is more."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("increment")
    for heading in ("charged s/call", "really a minute", "more than listed"):
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(
            str(each.increment),
            thousands(each.billed, 2),
            f"{rounded(each.rate, _RATE_PLACES):f}",
            f"{rounded(each.excess, 2):+f} %",
        )
    heading = f"{rate:f} a minute over {spread}, {thousands(spread.mean, 2)} s on average:"
    return Group(Text(heading), "", table)


def as_json(rate: Decimal, spread: Spread, found: Sequence[Effective]) -> dict[str, Any]:
    """Return the same for programs; figures are decimal texts."""
    return {
        "rate": f"{rate:f}",
        "durations": str(spread),
        "mean_seconds": f"{rounded(spread.mean, 3):f}",
        "increments": [
            {
                "increment": str(each.increment),
                "charged_seconds": f"{rounded(each.billed, 3):f}",
                "rate": f"{rounded(each.rate, 8):f}",
                "more_percent": f"{rounded(each.excess, 2):f}",
            }
            for each in found
        ],
    }
