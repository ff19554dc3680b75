"""What a deck does to the exact charge of its rows: discount, tax, one rounding, another currency; as integers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Decimal,
)
from fractions import Fraction

from msgspec import Struct

from vosctl.errors import VosctlError
from vosctl.rates.billing import MINUTE
from vosctl.rates.engine.rated import UNIT_PLACES
from vosctl.site.decks import CALL, Deck, Rounding

_HUNDRED = Fraction(100)


class Division(Struct, frozen=True):
    """``unit`` * round(x * ``times`` / ``divisor``): (x * times + addend) // divisor, one less where a tie is odd.

    x is never negative, so all kinds of rounding are sums before one division (``tied``: half-even).
    """

    times: int
    addend: int
    divisor: int
    tied: bool
    unit: int

    def of(self, amount: int) -> int:
        """Return the rounded amount: what the SQL made of these numbers computes."""
        dividend = amount * self.times + self.addend
        whole, rest = divmod(dividend, self.divisor)
        return (whole - (self.tied and not rest and whole % 2)) * self.unit


class Factor(Struct, frozen=True):
    """One deck at one tier: from sixty times the charge to its total, and to what is left without the tax.

    Both are in 10^-8 of the deck's currency; ``exchange`` makes them the site's, None where they are already.
    """

    deck: str
    total: Division
    net: Division
    exchange: Division | None


def factors(deck: Deck, worth: Decimal) -> Iterator[Factor]:
    """Yield the factors of a deck: without discount, then at each tier; ``worth`` is its currency's in the site's."""
    exchange = None if worth == 1 else division(Fraction(worth), CALL)
    for discount in (Decimal(0), *(tier.discount for tier in deck.tiers)):
        net = (_HUNDRED - Fraction(discount)) / _HUNDRED
        total = net * (_HUNDRED + Fraction(deck.tax)) / _HUNDRED
        yield Factor(
            deck.name,
            division(total / MINUTE, deck.rounding),
            division(net / MINUTE, deck.rounding),
            exchange,
        )


def division(factor: Fraction, rounding: Rounding) -> Division:
    """Return how an amount in 10^-8 is multiplied by ``factor`` and rounded; ``VosctlError`` for places or a kind unknown."""
    if not 0 <= rounding.places <= UNIT_PLACES:
        raise VosctlError(
            f"amounts cannot be rounded to {rounding.places} places in bulk", hint=f"0 to {UNIT_PLACES} can"
        )
    unit = 10 ** (UNIT_PLACES - rounding.places)
    scaled = factor / unit
    times, divisor = scaled.numerator, scaled.denominator
    addends = {
        ROUND_HALF_UP: divisor // 2 if divisor % 2 == 0 else (divisor - 1) // 2,
        ROUND_HALF_EVEN: divisor // 2,
        ROUND_HALF_DOWN: (divisor - 1) // 2,
        ROUND_UP: divisor - 1,
        ROUND_CEILING: divisor - 1,
        ROUND_DOWN: 0,
        ROUND_FLOOR: 0,
    }
    if rounding.kind not in addends:
        raise VosctlError(f"{rounding.kind} is no kind of rounding that bulk knows", hint="take half-up")
    tied = rounding.kind == ROUND_HALF_EVEN and divisor % 2 == 0
    return Division(times, addends[rounding.kind], divisor, tied, unit)


# Where there is no deck: it belongs to no amount.
NO_FACTOR = Factor("", division(Fraction(1, MINUTE), CALL), division(Fraction(1, MINUTE), CALL), None)
