"""The profit guard: whether a vendor may carry a customer's calls to a prefix, and the reason where it may not.

Compiler, quotes and reports all ask here, so that they cannot disagree.
"""

from __future__ import annotations

from decimal import Decimal

from vosctl.rates.billing import MINUTE, divide
from vosctl.site.decks import Rate, Rounding
from vosctl.site.routing import ProfitGuard

_HUNDRED = Decimal(100)
_SHOWN = Rounding(places=8)


def profit(customer: Rate, vendor: Rate) -> Decimal:
    """Return what a minute earns: the customer's rate less the vendor's, exact."""
    return customer.rate - vendor.rate


def margin(customer: Rate, vendor: Rate, rounding: Rounding) -> Decimal | None:
    """Return profit in per cent of the customer's rate; None where the customer pays nothing."""
    if not customer.rate:
        return None
    return divide(profit(customer, vendor) * _HUNDRED, customer.rate, rounding)


def lock(customer: Rate, vendor: Rate | None, guard: ProfitGuard | None) -> str:
    """Return why the vendor must not carry the call, or "" if it may; ``vendor`` None: it has no clearing rate."""
    if guard is None:
        return ""
    if vendor is None:
        return "no clearing rate" if guard.check_rate else ""
    return _too_expensive(vendor, guard) or _too_little(customer, vendor, guard)


def _too_expensive(vendor: Rate, guard: ProfitGuard) -> str:
    highest = max(vendor.rate, vendor.first_rate) if vendor.first_seconds else vendor.rate
    if guard.max_minute_rate is None or highest <= guard.max_minute_rate:
        return ""
    return f"costs {plain(highest)} a minute, the limit is {plain(guard.max_minute_rate)}"


def _too_little(customer: Rate, vendor: Rate, guard: ProfitGuard) -> str:
    lowest = guard.lowest_profit
    if lowest is None or not _below(customer, vendor, lowest, guard.unit):
        return ""
    if guard.unit == "percent":
        shown = margin(customer, vendor, Rounding(places=2))
        earned = "the customer pays nothing" if shown is None else f"profit is {plain(shown)} per cent"
        return f"{earned}, the lowest allowed is {plain(lowest)} per cent"
    earned_a_minute = profit(customer, vendor)
    if guard.unit == "second":
        earned_a_minute = divide(earned_a_minute, Decimal(MINUTE), _SHOWN).normalize()
    return f"profit is {plain(earned_a_minute)} a {guard.unit}, the lowest allowed is {plain(lowest)}"


def _below(customer: Rate, vendor: Rate, lowest: Decimal, unit: str) -> bool:
    """Compare without a division, so that nothing is rounded."""
    earned = profit(customer, vendor)
    if unit == "second":
        return earned < lowest * MINUTE
    if unit == "percent":
        return earned < 0 if not customer.rate else earned * _HUNDRED < lowest * customer.rate
    return earned < lowest


def plain(amount: Decimal) -> str:
    """Return the amount without an exponent, with the digits it has."""
    return format(amount, "f")
