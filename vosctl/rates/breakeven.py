"""How much traffic pays the fixed costs of a month."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

from msgspec import Struct

DAYS = 30
CALL_SECONDS = Decimal(180)
_MINUTE, _DAY = 60, 86400


class Business(Struct, frozen=True):
    """What a month costs whatever is sold, and what traffic earns.

    ``fixed`` is a month's money; ``profit`` money a minute; ``call_seconds`` what an answered call
    lasts on average; ``asr`` the share of attempts that are answered, in per cent; ``failed`` what
    an attempt that is not answered costs.
    """

    fixed: Decimal
    profit: Decimal
    call_seconds: Decimal = CALL_SECONDS
    days: int = DAYS
    asr: Decimal = Decimal(100)
    failed: Decimal = Decimal(0)

    @property
    def failures(self) -> Fraction:
        """Attempts that fail for each call that is answered."""
        answered = Fraction(self.asr) / 100
        return (1 - answered) / answered

    @property
    def minute(self) -> Fraction:
        """What a minute earns after the failed attempts that came with it are paid."""
        return Fraction(self.profit) - Fraction(self.failed) * self.failures * _MINUTE / Fraction(
            self.call_seconds
        )


class BreakEven(Struct, frozen=True):
    """The traffic of a month at which profit is nought; all exact."""

    minutes: Fraction
    calls: Fraction
    calls_a_second: Fraction
    attempts_a_second: Fraction
    at_once: Fraction

    @property
    def whole_calls(self) -> int:
        """The least number of whole calls that pays."""
        return ceil(self.calls)


def break_even(business: Business) -> BreakEven:
    """Return the traffic that pays the fixed costs; raise ValueError where a minute earns nothing.

    Minutes are fixed costs ÷ profit a minute; calls and seconds are spread evenly over the month.
    """
    if business.minute <= 0:
        raise ValueError("a minute that earns nothing pays for nothing")
    minutes = Fraction(business.fixed) / business.minute
    calls = minutes * _MINUTE / Fraction(business.call_seconds)
    a_second = calls / (business.days * _DAY)
    return BreakEven(
        minutes=minutes,
        calls=calls,
        calls_a_second=a_second,
        attempts_a_second=a_second * (1 + business.failures),
        at_once=minutes * _MINUTE / (business.days * _DAY),
    )
