"""What reports add up over calls: whole numbers only, summed as decimals of 38 digits, so that nothing overflows or rounds.

Every function takes the table of rated calls (``vosctl.rates.engine.rated``) as ibis has it and returns one value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vosctl.rates.engine.rated import ANSWERED

WIDE = "decimal(38, 0)"
Measure = Callable[[Any], Any]


def total(column: str) -> Measure:
    """Sum a column; what is null counts nothing."""
    return lambda calls: calls[column].fill_null(0).cast(WIDE).sum()


def both(column: str, *others: str) -> Measure:
    """Sum a column over the calls that have all of ``others`` too, so that sums can be held against each other."""

    def measure(calls: Any) -> Any:
        has = calls[column].notnull()
        for other in others:
            has &= calls[other].notnull()
        return has.ifelse(calls[column], 0).fill_null(0).cast(WIDE).sum()

    return measure


def count_where(condition: Callable[[Any], Any]) -> Measure:
    """Count the calls of which a condition is true."""
    return lambda calls: condition(calls).fill_null(False).ifelse(1, 0).cast(WIDE).sum()


def answered(calls: Any) -> Any:
    """Whether a call was answered (SIP 200)."""
    return calls.cause == ANSWERED


def _cause(first: int, last: int) -> Measure:
    return count_where(lambda calls: (calls.cause >= first) & (calls.cause <= last))


def difference(column: str, other: str) -> Measure:
    """Sum one column less another, over the calls that have both."""

    def measure(calls: Any) -> Any:
        has = calls[column].notnull() & calls[other].notnull()
        return has.ifelse(calls[column] - calls[other], 0).fill_null(0).cast(WIDE).sum()

    return measure


CALLS = count_where(lambda calls: calls.call_id.notnull() | calls.call_id.isnull())
MEASURES: Mapping[str, Measure] = {
    "calls": CALLS,
    "answered": count_where(answered),
    "failed": count_where(lambda calls: (calls.cause != ANSWERED) | calls.cause.isnull()),
    "milliseconds": total("duration_ms"),
    "customer_seconds": total("customer_seconds"),
    "vendor_seconds": total("vendor_seconds"),
    "revenue": total("revenue"),
    "revenue_tax": difference("customer_total", "revenue"),
    "revenue_total": total("customer_total"),
    "expense": total("expense"),
    "expense_tax": difference("vendor_total", "expense"),
    "expense_total": total("vendor_total"),
    "margin": total("margin"),
    # Both sides, so that margin is a share of them: calls that one side has no rate for stand apart.
    "both_revenue": both("revenue", "expense"),
    "both_expense": both("expense", "revenue"),
    "unrated": count_where(lambda calls: answered(calls) & (calls.revenue.isnull() | calls.expense.isnull())),
    # What the switch said, beside what the decks say, over the calls that have both.
    "billed": both("billed", "customer_total"),
    "billed_expected": both("customer_total", "billed"),
    "paid": both("cost", "vendor_total"),
    "paid_expected": both("vendor_total", "cost"),
    "differing": count_where(
        lambda calls: (
            (calls.billed != calls.customer_total).fill_null(False)
            | (calls.cost != calls.vendor_total).fill_null(False)
        )
    ),
    # Failed calls, by the class of the final answer (RFC 3261 §21); what they cost is what the vendor charged.
    "not_found": _cause(404, 404),
    "busy": count_where(lambda calls: calls.cause.isin((486, 600))),
    "cancelled": count_where(lambda calls: calls.cause.isin((408, 480, 487))),
    "refused": count_where(lambda calls: calls.cause.isin((401, 403, 407, 603))),
    "congestion": count_where(lambda calls: (calls.cause >= 500) & (calls.cause < 600)),
    "failed_cost": lambda calls: (
        (answered(calls).fill_null(False) | calls.cost.isnull())
        .ifelse(0, calls.cost)
        .fill_null(0)
        .cast(WIDE)
        .sum()
    ),
    "pdd": total("pdd_ms"),
    "pdd_calls": count_where(lambda calls: calls.pdd_ms.notnull()),
}
