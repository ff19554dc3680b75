"""What a call costs under a rate row: exact decimal arithmetic and one rounding, at the end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_05UP, ROUND_HALF_UP, Context, Decimal, Inexact, Rounded

from vosctl.site.decks import Rate

MINUTE = 60
_ZERO = Decimal(0)
# Sums and products of what people write have few digits; a result that did not fit would raise.
_EXACT = Context(prec=1000, traps=[Inexact, Rounded])
_WIDE = Context(prec=1000)


@dataclass(frozen=True, slots=True)
class Rounding:
    """Decimal places, and the kind of rounding as ``decimal`` names it."""

    places: int = 6
    kind: str = ROUND_HALF_UP


CALL = Rounding()


def charge(rate: Rate, seconds: int | Decimal, rounding: Rounding = CALL) -> Decimal:
    """Return what a call of ``seconds`` costs: nothing for 0, else connect fee, first period and begun cycles.

    Raises ValueError for a negative duration.
    """
    if seconds < 0:
        raise ValueError(f"a call cannot last {seconds} s")
    return divide(sixty_times(rate, Decimal(seconds)), Decimal(MINUTE), rounding)


def sixty_times(rate: Rate, seconds: Decimal) -> Decimal:
    """Return the charge times 60, which is exact: rates are per minute, periods in seconds."""
    if not seconds:
        return _ZERO
    fixed = _EXACT.multiply(rate.connect, Decimal(MINUTE))
    first = _EXACT.multiply(rate.first_rate, Decimal(rate.first_seconds))
    step = _EXACT.multiply(rate.rate, Decimal(rate.cycle))
    steps = Decimal(begun_cycles(rate, seconds))
    return _EXACT.fma(step, steps, _EXACT.add(fixed, first))


def begun_cycles(rate: Rate, seconds: int | Decimal) -> int:
    """Return how many cycles have begun after the first period."""
    rest = max(_ZERO, _EXACT.subtract(Decimal(seconds), Decimal(rate.first_seconds)))
    whole, part = _EXACT.divmod(rest, Decimal(rate.cycle))
    return int(whole) + (1 if part else 0)


def divide(dividend: Decimal, divisor: Decimal, rounding: Rounding) -> Decimal:
    """Return dividend ÷ divisor, rounded once.

    The quotient is first cut with the sticky kind of rounding, which never turns what lies off a
    boundary into a tie, so the second step rounds as if it saw the exact value.
    """
    digits = max(dividend.adjusted() - divisor.adjusted(), 0) + rounding.places + 4
    quotient = Context(prec=digits, rounding=ROUND_05UP).divide(dividend, divisor)
    return quotient.quantize(Decimal(1).scaleb(-rounding.places), rounding.kind, _WIDE)
