"""The traffic that pays a month's fixed costs, with the arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from rich.console import Group
from rich.text import Text

from vosctl.rates.billing import fraction_text
from vosctl.rates.breakeven import BreakEven, Business
from vosctl.report.rates.figures import money, rounded, steps, thousands, worked

_CPS_PLACES, _MORE_PLACES, _MOST_PLACES = 2, 4, 8
_NOTE = (
    "Spread evenly over day and night: a busy hour has more.\nCalls are rounded up: one fewer does not pay."
)


def screen(business: Business, found: BreakEven) -> Group:
    """Return each figure with how it was worked out."""
    minutes = worked(found.minutes, 2)
    length = fraction_text(Fraction(business.call_seconds) / 60, 4)
    days = business.days
    rows = [
        ("minutes", f"{money(business.fixed, 0)} ÷ {money(business.minute, 0)}", thousands(found.minutes)),
        ("calls", f"{minutes} min ÷ {length} min a call", f"{found.whole_calls:,}"),
        ("calls a second", f"{worked(found.calls, 2)} ÷ ({days} × 86400 s)", _small(found.calls_a_second)),
        ("calls at once", f"{minutes} min ÷ ({days} × 1440 min)", thousands(found.at_once, 2)),
    ]  # fmt: skip
    if business.failures:
        working = f"{_small(found.calls_a_second)} ÷ {business.asr:f} % answered"
        rows.insert(3, ("attempts a second", working, _small(found.attempts_a_second)))
    return Group(Text(_headline(business)), "", steps(rows), "", Text(_NOTE, style="dim"))


def as_json(business: Business, found: BreakEven) -> dict[str, Any]:
    """Return the same for programs; figures are decimal texts."""
    return {
        "fixed": f"{business.fixed:f}",
        "profit_a_minute": fraction_text(business.minute),
        "call_seconds": f"{business.call_seconds:f}",
        "days": business.days,
        "minutes": f"{rounded(found.minutes, 2):f}",
        "calls": found.whole_calls,
        "calls_a_second": f"{rounded(found.calls_a_second, _MORE_PLACES):f}",
        "attempts_a_second": f"{rounded(found.attempts_a_second, _MORE_PLACES):f}",
        "calls_at_once": f"{rounded(found.at_once, 2):f}",
    }


def _small(amount: Fraction) -> str:
    """Return two decimals, or more of what would hardly show."""
    places = _CPS_PLACES if amount >= Fraction(1, 100) else _MORE_PLACES
    return thousands(amount, places if amount >= Fraction(1, 1000) else _MOST_PLACES)


def _headline(business: Business) -> str:
    earned = f"{business.profit:f} a minute"
    if business.failed and business.failures:
        earned += f"\n({money(business.minute, 0)} when an attempt that fails costs {business.failed:f})"
    return f"{thousands(business.fixed, 2)} a month, in {business.days} days, at a profit of {earned}:"
