"""What billing increments really cost: the rate a minute that is spoken, over a spread of call durations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil
from typing import Protocol

from msgspec import Struct

_PRECISE = Context(prec=40)


class Increment(Struct, frozen=True, order=True):
    """``first``/``cycle`` in seconds: the first stretch is charged in full, then begun cycles."""

    first: int
    cycle: int

    def __str__(self) -> str:
        return f"{self.first}/{self.cycle}"

    def billed(self, seconds: Decimal) -> int:
        """Return the seconds charged for a call of ``seconds``."""
        if not seconds:
            return 0
        return self.first + self.cycle * ceil(max(Fraction(0), Fraction(seconds) - self.first) / self.cycle)


class Spread(Protocol):
    """Durations of answered calls."""

    @property
    def mean(self) -> Fraction:
        """Seconds that a call lasts on average."""

    def billed(self, increment: Increment) -> Fraction:
        """Return the seconds charged for a call on average."""

    def __str__(self) -> str: ...


class Measured(Struct, frozen=True):
    """Calls by duration in seconds: how many lasted so long. Calls of no length were not answered and do not count."""

    calls: Mapping[Decimal, int]

    def __post_init__(self) -> None:
        if not self.count:
            raise ValueError("there is no answered call")

    @property
    def count(self) -> int:
        """Answered calls."""
        return sum(count for seconds, count in self.calls.items() if seconds)

    @property
    def mean(self) -> Fraction:
        """Seconds that a call lasts on average, exact."""
        return (
            sum((Fraction(seconds) * count for seconds, count in self.calls.items()), Fraction(0))
            / self.count
        )

    def billed(self, increment: Increment) -> Fraction:
        """Return the seconds charged for a call on average, exact."""
        total = sum(increment.billed(seconds) * count for seconds, count in self.calls.items())
        return Fraction(total, self.count)

    def __str__(self) -> str:
        return f"{self.count:,} answered call{'' if self.count == 1 else 's'}"


class Exponential(Struct, frozen=True):
    """Durations that end at any moment alike (memoryless), the usual first guess where only the ACD is known.

    P(duration > t) = e^(−t/mean); worked out in decimals to 40 digits.
    """

    seconds: Decimal

    @property
    def mean(self) -> Fraction:
        """Seconds that a call lasts on average."""
        return Fraction(self.seconds)

    def billed(self, increment: Increment) -> Fraction:
        """Return first + cycle × Σ P(duration > first + k × cycle): a geometric series."""
        beyond, ratio = (self._longer(each) for each in (increment.first, increment.cycle))
        return increment.first + increment.cycle * beyond / (1 - ratio)

    def _longer(self, seconds: int) -> Fraction:
        return Fraction(_PRECISE.exp(_PRECISE.divide(Decimal(-seconds), self.seconds)))

    def __str__(self) -> str:
        return "an exponential spread of durations"


class Effective(Struct, frozen=True):
    """An increment over a spread: seconds charged a call, the rate a minute spoken, and how much more that is."""

    increment: Increment
    billed: Fraction
    rate: Fraction
    excess: Fraction


def effective(rate: Decimal, increments: Iterable[Increment], spread: Spread) -> list[Effective]:
    """Return what each increment really costs at a ``rate`` a minute; ``excess`` is in per cent of the rate."""
    found = []
    for increment in increments:
        billed = spread.billed(increment)
        share = billed / spread.mean
        found.append(Effective(increment, billed, Fraction(rate) * share, (share - 1) * 100))
    return found
