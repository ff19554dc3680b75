"""Figures made of sums, exactly and in one place for every engine: money, minutes, shares, each with its rounding."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

from msgspec import Struct

from vosctl.rates.billing import divide
from vosctl.rates.engine.rated import UNIT, UNIT_PLACES
from vosctl.site.decks import Rounding

Sums = Mapping[str, int]
Value = str | int | Decimal | None


class Kind(Enum):
    """What a figure is, which decides how it is written."""

    TEXT = "text"
    COUNT = "count"
    MONEY = "money"  # the site's currency, exact: 8 decimals
    PRICE = "price"  # a minute, rounded to 6 decimals
    MINUTES = "minutes"  # rounded to 2 decimals
    SECONDS = "seconds"  # rounded to 1 decimal
    MILLISECONDS = "milliseconds"  # rounded to whole ones
    PERCENT = "percent"  # rounded to 2 decimals


PLACES = {
    Kind.MONEY: UNIT_PLACES,
    Kind.PRICE: 6,
    Kind.MINUTES: 2,
    Kind.SECONDS: 1,
    Kind.MILLISECONDS: 0,
    Kind.PERCENT: 2,
}


class Figure(Struct, frozen=True):
    """A column: sums ``over`` less sums ``less``, times ``by`` and the sum ``times``, ÷ the sum ``under`` and ``parts``.

    None where the divisor is nothing.
    """

    name: str
    kind: Kind
    over: tuple[str, ...]
    less: tuple[str, ...] = ()
    under: str = ""
    by: int = 1
    parts: int = 1
    times: str = ""

    def of(self, sums: Sums) -> Value:
        """Return the figure, rounded half-up once."""
        above = (sum(sums[name] for name in self.over) - sum(sums[name] for name in self.less)) * self.by
        above *= sums[self.times] if self.times else 1
        below = (sums[self.under] if self.under else 1) * self.parts
        if not below:
            return None
        if self.kind is Kind.COUNT:
            return above // below
        return divide(Decimal(above), Decimal(below), Rounding(PLACES[self.kind], ROUND_HALF_UP))

    @property
    def needs(self) -> set[str]:
        """The sums that it is made of."""
        return {*self.over, *self.less, self.under, self.times} - {""}


def count(name: str) -> Figure:
    """Return a number of calls."""
    return Figure(name, Kind.COUNT, (name,))


def money(name: str, over: str | tuple[str, ...] = (), *, less: tuple[str, ...] = ()) -> Figure:
    """Return an amount: the sum of that name, or of what is over less what is less."""
    names = (over,) if isinstance(over, str) else over
    return Figure(name, Kind.MONEY, names or (name,), less, parts=UNIT)


def minutes(name: str, over: str) -> Figure:
    """Return minutes of a sum of seconds, or of milliseconds."""
    return Figure(name, Kind.MINUTES, (over,), parts=60_000 if over == "milliseconds" else 60)


def share(name: str, over: str, under: str) -> Figure:
    """Return one sum in per cent of another."""
    return Figure(name, Kind.PERCENT, (over,), under=under, by=100)


def a_minute(name: str, over: str, under: str) -> Figure:
    """Return an amount for each minute of a sum of seconds."""
    return Figure(name, Kind.PRICE, (over,), under=under, by=60, parts=UNIT)


ASR = share("ASR", "answered", "calls")
ACD = Figure("ACD", Kind.SECONDS, ("milliseconds",), under="answered", parts=1000)
PDD = Figure("PDD", Kind.MILLISECONDS, ("pdd",), under="pdd_calls")
MARGIN_SHARE = share("margin %", "margin", "both_revenue")
MARKUP = share("markup %", "margin", "both_expense")
