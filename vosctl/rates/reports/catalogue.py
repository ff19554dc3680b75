"""The reports: by what each groups the calls, and the figures it shows."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from vosctl.rates.engine.rated import UNIT
from vosctl.rates.reports.figures import (
    ACD,
    ASR,
    MARGIN_SHARE,
    MARKUP,
    PDD,
    Figure,
    Kind,
    a_minute,
    count,
    minutes,
    money,
)

PERIOD = "period"
_TALKED = minutes("minutes", "milliseconds")
_SOLD = minutes("billed minutes", "customer_seconds")
_BOUGHT = minutes("charged minutes", "vendor_seconds")
_CALLS = (count("calls"), count("answered"))
_MARGIN = (money("revenue"), money("expense"), money("margin"), MARGIN_SHARE)


class Report(Struct, frozen=True):
    """One report; ``keys`` are columns of a rated call, ``first`` the figure that rows are ordered by, the highest first.

    ``sides``: a row for each value of the customers' and of the vendors' column, with what was sold and what bought.
    ``commission`` and ``owed`` add what agents get, and what a month's commitment asks on top.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    figures: tuple[Figure, ...]
    first: str
    commission: bool = False
    owed: bool = False
    sides: tuple[str, str] | None = None

    @property
    def sums(self) -> tuple[str, ...]:
        """The sums that its figures are made of, in a fixed order."""
        needed = set().union(*(figure.needs for figure in self.figures))
        return tuple(sorted(needed))


_ALL = (
    Report(
        "revenue", "Revenue details", ("customer", "customer_destination"),
        (*_CALLS, _TALKED, _SOLD, money("charges", "revenue"), money("tax", "revenue_tax"), money("total", "revenue_total")),
        "total",
    ),
    Report(
        "gateway-bill", "Gateway bill", ("customer_gateway",),
        (*_CALLS, _SOLD, money("total", "revenue_total"), *_MARGIN), "total",
    ),
    Report(
        "clearing-account", "Clearing detail by account", ("vendor", "vendor_destination"),
        (*_CALLS, _TALKED, _BOUGHT, money("charges", "expense"), money("tax", "expense_tax"), money("total", "expense_total")),
        "total",
    ),
    Report(
        "clearing-gateway", "Clearing detail by gateway", ("vendor", "vendor_gateway"),
        (*_CALLS, ASR, ACD, PDD, _BOUGHT, money("total", "expense_total"), a_minute("a minute", "expense", "vendor_seconds")),
        "total",
    ),
    Report(
        "agent-income", "Agent income", ("agent", "customer"),
        (count("answered"), _SOLD, money("revenue"), money("margin")), "revenue", commission=True,
    ),
    Report(
        "settlement", "Financial settlement", ("party",),
        (
            minutes("sold minutes", "customer_seconds"), money("receivable", "revenue_total"),
            minutes("bought minutes", "vendor_seconds"), money("payable", "expense_total"),
            money("balance", "revenue_total", less=("expense_total",)),
        ),
        "balance", sides=("customer", "vendor"),
    ),
    Report(
        "commitments", "Months and what was committed to", ("side", "deck"),
        (
            minutes("sold minutes", "customer_seconds"), money("sold", "revenue"),
            minutes("bought minutes", "vendor_seconds"), money("bought", "expense"),
        ),
        "bought", owed=True, sides=("customer_source", "vendor_source"),
    ),
    Report(
        "deviation", "Rate deviation", ("customer", "vendor", "customer_destination"),
        (
            count("calls"), count("differing"), money("billed"), money("billed expected", "billed_expected"),
            money("paid"), money("paid expected", "paid_expected"),
            money("deviation", ("billed", "paid_expected"), less=("billed_expected", "paid")),
        ),
        "deviation",
    ),
    Report(
        "failed", "Failed calls and what they cost", ("vendor", "vendor_destination"),
        (
            count("calls"), count("failed"), ASR, ACD, PDD, count("not_found"), count("busy"), count("cancelled"),
            count("refused"), count("congestion"), money("cost of failed", "failed_cost"),
            Figure("margin missed", Kind.MONEY, ("margin",), times="failed", under="answered", parts=UNIT),
        ),
        "failed",
    ),
    Report(
        "margin", "Margin by customer, vendor and destination", ("customer", "vendor", "customer_destination"),
        (
            *_CALLS, _SOLD, *_MARGIN, MARKUP, a_minute("sold a minute", "revenue", "customer_seconds"),
            a_minute("bought a minute", "expense", "vendor_seconds"), count("unrated"),
        ),
        "margin",
    ),
    Report("trend", "Margin over time", (), (*_CALLS, ASR, ACD, _SOLD, *_MARGIN), "margin"),
)  # fmt: skip
REPORTS: Mapping[str, Report] = {report.name: report for report in _ALL}
