"""The profit guard: whether a vendor may carry a customer's calls to a prefix, and the reason where it may not.

Compiler, quotes, checks and reports all ask here, so that they cannot disagree. What is compared are rates per
minute in the site's currency, without taxes: `worths` is what one unit of the customer's and of the vendor's
currency is in it. For many rates at once the compiler compares each vendor's with `ceiling`, as `verdict` does.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from enum import IntEnum

from vosctl.rates.billing import MINUTE, divide
from vosctl.site.decks import Rate, Rounding
from vosctl.site.routing import ProfitGuard, Routing

_HUNDRED = Decimal(100)
_ONE = Decimal(1)
_SHOWN = Rounding(places=8)
_EXACT = Context(prec=200, traps=[Inexact])
ALIKE = (_ONE, _ONE)
OPEN_TO_ALL = ProfitGuard(None, "second", None, None)
"""What holds where no guard is written."""


class Verdict(IntEnum):
    """Whether a vendor is locked, and why; the numbers are those of compiled route files."""

    OPEN = 0
    NO_RATE = 1
    BLOCKED = 2
    TOO_DEAR = 3
    TOO_LITTLE = 4


def governing(
    own: ProfitGuard | None, routing: Routing, group: str | None, number: str
) -> ProfitGuard | None:
    """Return the guard that holds for a group's calls to a number (or prefix) through a gateway with a guard of its own.

    Most specific wins, for each value by itself: the longest prefix of ``routing.profit.prefixes``, then the
    customers' group, then the gateway. ``lowest`` and its unit are one value.
    """
    return combined(own, routing.groups.get(group or ""), prefix_guard(routing, number))


def prefix_guard(routing: Routing, number: str) -> ProfitGuard | None:
    """Return the guard of the longest guarded prefix of a number."""
    found = (routing.prefixes.get(number[:length]) for length in range(len(number), -1, -1))
    return next((guard for guard in found if guard is not None), None)


def combined(*guards: ProfitGuard | None) -> ProfitGuard | None:
    """Return what guards say together, a later one going before an earlier one; None where none is given."""
    result = None
    for guard in guards:
        if result is None or guard is None:
            result = guard or result
            continue
        lowest = result if guard.lowest_profit is None else guard
        result = ProfitGuard(
            lowest.lowest_profit,
            lowest.unit,
            result.max_minute_rate if guard.max_minute_rate is None else guard.max_minute_rate,
            result.check_rate if guard.check_rate is None else guard.check_rate,
        )
    return result


def minute_rate(rate: Rate, worth: Decimal) -> Decimal:
    """Return a row's rate a minute in the site's currency, exact."""
    return _EXACT.multiply(rate.rate, worth)


def dearest_minute(rate: Rate, worth: Decimal) -> Decimal:
    """Return the most that a minute costs under a row: its rate, or that of a first period."""
    return _EXACT.multiply(max(rate.rate, rate.first_rate) if rate.first_seconds else rate.rate, worth)


def ceiling(customer: Decimal, guard: ProfitGuard) -> Decimal | None:
    """Return the highest vendor's rate that leaves the guard's profit at a customer's rate; None: any does.

    Where the customer pays nothing a share of it is nothing: then no loss is allowed.
    """
    lowest = guard.lowest_profit
    if lowest is None:
        return None
    if guard.unit == "percent":
        least = _EXACT.divide(_EXACT.multiply(lowest, customer), _HUNDRED)
    else:
        least = _EXACT.multiply(lowest, Decimal(MINUTE)) if guard.unit == "second" else lowest
    return _EXACT.subtract(customer, least)


def verdict(
    customer: Rate,
    vendor: Rate | None,
    guard: ProfitGuard | None,
    worths: tuple[Decimal, Decimal] = ALIKE,
) -> Verdict:
    """Return whether the guard locks a vendor's row (None: it has none for the prefix) for a customer's."""
    guard = guard or OPEN_TO_ALL
    if vendor is None:
        return Verdict.NO_RATE if guard.check_rate else Verdict.OPEN
    if vendor.blocked:
        return Verdict.BLOCKED
    if guard.max_minute_rate is not None and dearest_minute(vendor, worths[1]) > guard.max_minute_rate:
        return Verdict.TOO_DEAR
    highest = ceiling(minute_rate(customer, worths[0]), guard)
    return (
        Verdict.OPEN if highest is None or minute_rate(vendor, worths[1]) <= highest else Verdict.TOO_LITTLE
    )


def lock(
    customer: Rate,
    vendor: Rate | None,
    guard: ProfitGuard | None,
    worths: tuple[Decimal, Decimal] = ALIKE,
) -> str:
    """Return why the vendor must not carry the call, or "" if it may; ``vendor`` None: it has no clearing rate."""
    found = verdict(customer, vendor, guard, worths)
    if found in (Verdict.TOO_DEAR, Verdict.TOO_LITTLE):
        assert vendor is not None
        assert guard is not None
        too_dear = found is Verdict.TOO_DEAR
        return _too_dear(vendor, guard, worths) if too_dear else _too_little(customer, vendor, guard, worths)
    return WORDS[found]


WORDS = {
    Verdict.OPEN: "",
    Verdict.NO_RATE: "no clearing rate",
    Verdict.BLOCKED: "its row is blocked",
    Verdict.TOO_DEAR: "costs too much a minute",
    Verdict.TOO_LITTLE: "earns too little",
}
"""What each verdict means, without the amounts."""


def _too_dear(vendor: Rate, guard: ProfitGuard, worths: tuple[Decimal, Decimal]) -> str:
    assert guard.max_minute_rate is not None
    shown = plain(dearest_minute(vendor, worths[1]))
    return f"costs {shown} a minute, the limit is {plain(guard.max_minute_rate)}"


def _too_little(customer: Rate, vendor: Rate, guard: ProfitGuard, worths: tuple[Decimal, Decimal]) -> str:
    lowest = guard.lowest_profit
    assert lowest is not None
    if guard.unit == "percent":
        shown = margin(customer, vendor, Rounding(places=2), worths)
        earned = "the customer pays nothing" if shown is None else f"profit is {plain(shown)} per cent"
        return f"{earned}, the lowest allowed is {plain(lowest)} per cent"
    earned_a_minute = profit(customer, vendor, worths)
    if guard.unit == "second":
        earned_a_minute = divide(earned_a_minute, Decimal(MINUTE), _SHOWN).normalize()
    return f"profit is {plain(earned_a_minute)} a {guard.unit}, the lowest allowed is {plain(lowest)}"


def profit(customer: Rate, vendor: Rate, worths: tuple[Decimal, Decimal] = ALIKE) -> Decimal:
    """Return what a minute earns: the customer's rate less the vendor's, exact, in the site's currency."""
    return _EXACT.subtract(minute_rate(customer, worths[0]), minute_rate(vendor, worths[1]))


def margin(
    customer: Rate, vendor: Rate, rounding: Rounding, worths: tuple[Decimal, Decimal] = ALIKE
) -> Decimal | None:
    """Return profit in per cent of the customer's rate; None where the customer pays nothing."""
    if not customer.rate:
        return None
    earned = _EXACT.multiply(profit(customer, vendor, worths), _HUNDRED)
    return divide(earned, minute_rate(customer, worths[0]), rounding)


def loss(customer: Rate, vendor: Rate | None, worths: tuple[Decimal, Decimal] = ALIKE) -> Decimal | None:
    """Return how much a minute loses (a negative amount); None where it earns, or nobody knows what it costs."""
    if vendor is None:
        return None
    earned = profit(customer, vendor, worths)
    return earned if earned < 0 else None


def plain(amount: Decimal) -> str:
    """Return the amount without an exponent, with the digits it has."""
    return format(amount, "f")
