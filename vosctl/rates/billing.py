"""What a call costs under a rate row: exact arithmetic, and one rounding at the end."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_05UP, ROUND_DOWN, Context, Decimal, Inexact, Rounded
from fractions import Fraction

from msgspec import Struct

from vosctl.site.decks import CALL, Rate, Rounding

MINUTE = 60
_ZERO = Decimal(0)
_HUNDRED = Decimal(100)
# Sums and products of what people write have few digits; a result that did not fit would raise.
_EXACT = Context(prec=1000, traps=[Inexact, Rounded])
_WIDE = Context(prec=1000)


class Line(Struct, frozen=True):
    """One step of the arithmetic: what it is, how it was worked out, and the exact amount after or of it."""

    what: str
    working: str
    amount: Fraction


class Bill(Struct, frozen=True):
    """A call's price with the steps that lead to it; ``seconds`` are those charged for, whole cycles."""

    lines: tuple[Line, ...]
    seconds: int
    total: Decimal


def charge(
    rate: Rate,
    seconds: int | Decimal,
    rounding: Rounding = CALL,
    *,
    tax: Decimal = _ZERO,
    discount: Decimal = _ZERO,
) -> Decimal:
    """Return what a call of ``seconds`` costs, in the deck's currency; ``tax`` and ``discount`` are per cent.

    A call within the grace period, or of no length, costs nothing. Else connect fee, first period and
    begun cycles of what the free seconds leave, at least the minimum; less discount, plus tax; rounded once.
    Raises ValueError for a negative duration.
    """
    if seconds < 0:
        raise ValueError(f"a call cannot last {seconds} s")
    sixty = sixty_times(rate, Decimal(seconds))
    if not tax and not discount:
        return divide(sixty, Decimal(MINUTE), rounding)
    whole = _EXACT.multiply(_EXACT.multiply(sixty, _HUNDRED - discount), _HUNDRED + tax)
    return divide(whole, MINUTE * _HUNDRED * _HUNDRED, rounding)


def sixty_times(rate: Rate, seconds: Decimal) -> Decimal:
    """Return the charge before discount and tax, times 60, which is exact: rates are per minute, periods in seconds."""
    if not seconds or seconds <= rate.grace:
        return _ZERO
    gross = _EXACT.multiply(rate.connect, Decimal(MINUTE))
    if seconds > rate.free_seconds:
        first = _EXACT.multiply(rate.first_rate, Decimal(rate.first_seconds))
        step = _EXACT.multiply(rate.rate, Decimal(rate.cycle))
        gross = _EXACT.fma(step, Decimal(begun_cycles(rate, seconds)), _EXACT.add(gross, first))
    return max(gross, _EXACT.multiply(rate.minimum, Decimal(MINUTE)))


def begun_cycles(rate: Rate, seconds: int | Decimal) -> int:
    """Return how many cycles have begun after the free seconds and the first period."""
    rest = max(_ZERO, _EXACT.subtract(Decimal(seconds), Decimal(rate.free_seconds + rate.first_seconds)))
    whole, part = _EXACT.divmod(rest, Decimal(rate.cycle))
    return int(whole) + (1 if part else 0)


def billed_seconds(rate: Rate, seconds: int | Decimal) -> int:
    """Return the seconds charged for: the first period and whole cycles, 0 for a call that is free."""
    if not seconds or seconds <= rate.grace or seconds <= rate.free_seconds:
        return 0
    return rate.first_seconds + begun_cycles(rate, seconds) * rate.cycle


def itemize(
    rate: Rate,
    seconds: int | Decimal,
    rounding: Rounding = CALL,
    *,
    tax: Decimal = _ZERO,
    discount: Decimal = _ZERO,
) -> Bill:
    """Return the bill of a call, line by line; its total is what ``charge`` returns."""
    total = charge(rate, seconds, rounding, tax=tax, discount=discount)
    lines = tuple(_lines(rate, Decimal(seconds), tax, discount))
    return Bill(lines, billed_seconds(rate, seconds), total)


def _lines(rate: Rate, seconds: Decimal, tax: Decimal, discount: Decimal) -> Iterator[Line]:
    if not seconds or seconds <= rate.grace:
        why = f"{seconds} s, free up to {rate.grace} s" if seconds else "it was not answered"
        yield Line("no charge", why, Fraction(0))
        return
    total = Fraction(0)
    for line in _periods(rate, seconds):
        total += line.amount
        yield line
    if total < Fraction(rate.minimum):
        total = Fraction(rate.minimum)
        yield Line("at least", "the minimum charge of the row", total)
    for what, percent in (("discount", -discount), ("tax", tax)):
        if percent:
            part = total * Fraction(percent) / 100
            total += part
            yield Line(what, f"{abs(percent):f} % of {fraction_text(total - part)}", part)


def _periods(rate: Rate, seconds: Decimal) -> Iterator[Line]:
    if rate.connect:
        yield Line("connect fee", "once a call", Fraction(rate.connect))
    if rate.free_seconds:
        yield Line("free", f"the first {rate.free_seconds} of {seconds} s", Fraction(0))
    if seconds <= rate.free_seconds:
        return
    if rate.first_seconds:
        amount = Fraction(rate.first_rate) * rate.first_seconds / MINUTE
        yield Line(
            f"first {rate.first_seconds} s", f"{rate.first_rate:f} × {rate.first_seconds} ÷ 60", amount
        )
    cycles = begun_cycles(rate, seconds)
    if cycles or not rate.first_seconds:
        left = seconds - rate.free_seconds - rate.first_seconds
        amount = Fraction(rate.rate) * rate.cycle * cycles / MINUTE
        what = f"then {left} s" if rate.first_seconds else f"{left} s"
        yield Line(what, f"{cycles} × {rate.cycle} s: {rate.rate:f} × {cycles * rate.cycle} ÷ 60", amount)


def fraction_text(amount: Fraction, places: int = 10) -> str:
    """Return an exact amount as decimal digits; with "…" where more than ``places`` would follow, which are cut off."""
    shown = divide(Decimal(amount.numerator), Decimal(amount.denominator), Rounding(places, ROUND_DOWN))
    text = f"{shown:f}".rstrip("0").rstrip(".") if "." in f"{shown:f}" else f"{shown:f}"
    return text if Fraction(shown) == amount else f"{text}…"


def divide(dividend: Decimal, divisor: Decimal, rounding: Rounding) -> Decimal:
    """Return dividend ÷ divisor, rounded once.

    The quotient is first cut with the sticky kind of rounding, which never turns what lies off a
    boundary into a tie, so the second step rounds as if it saw the exact value.
    """
    digits = max(dividend.adjusted() - divisor.adjusted(), 0) + rounding.places + 4
    quotient = Context(prec=digits, rounding=ROUND_05UP).divide(dividend, divisor)
    return quotient.quantize(Decimal(1).scaleb(-rounding.places), rounding.kind, _WIDE)
