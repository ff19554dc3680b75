"""Customers' rates from vendors' rates and a wanted profit: a margin, a markup or an amount a minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from vosctl.rates.billing import divide
from vosctl.site.decks import Deck, Rate, Rates, Rounding, in_force

MARGIN, MARKUP, AMOUNT = "margin", "markup", "amount"


class Goal(Struct, frozen=True):
    """The profit that is wanted: ``margin`` in per cent of the price, ``markup`` of the cost, ``amount`` a minute."""

    kind: str
    size: Decimal

    def __post_init__(self) -> None:
        if self.kind == MARGIN and self.size >= 100:
            raise ValueError(f"no price has a margin of {self.size:f} % over a cost")

    def price(self, cost: Fraction, *, a_minute: bool = True) -> Fraction:
        """Return the exact price over a cost; an ``amount`` is added to what is paid ``a_minute`` alone."""
        size = Fraction(self.size)
        if self.kind == MARGIN:
            return cost / (1 - size / 100)
        if self.kind == MARKUP:
            return cost * (1 + size / 100)
        return cost + size if a_minute else cost

    def __str__(self) -> str:
        return f"{self.size:f} a minute" if self.kind == AMOUNT else f"a {self.kind} of {self.size:f} %"


class Wish(Struct, frozen=True):
    """How customers' rates are made: the goal, how they are rounded, whether the dearest vendor counts, and increments.

    ``increment`` None takes over the vendor's first period and cycle, in seconds.
    """

    goal: Goal
    rounding: Rounding
    dearest: bool = True
    increment: tuple[int, int] | None = None


class Made(Struct, frozen=True):
    """A customer's row, and the vendor's row that it was made from with the deck that has it."""

    rate: Rate
    cost: Rate
    deck: Deck


def create(rates: Rates, decks: Sequence[Deck], wish: Wish, when: datetime) -> Iterator[Made]:
    """Yield a row for each prefix of the decks that hold at a moment outside sections, in order, in the site's currency.

    A prefix costs what the longest row of each vendor for it says; where all block it there is no row.
    """
    tables = [(deck, _Table(deck, when)) for deck in decks]
    choose = max if wish.dearest else min
    for prefix in sorted({prefix for _, table in tables for prefix in table.rows}):
        found = [(deck, rate) for deck, table in tables if (rate := table.longest(prefix)) is not None]
        if found:
            deck, cost = choose(found, key=lambda each: each[1].rate * rates.worth(each[0]))
            yield Made(_row(prefix, cost, Fraction(rates.worth(deck)), wish), cost, deck)


class _Table:
    """A deck's rows at a moment; a blocked row means that the vendor does not carry the prefix."""

    def __init__(self, deck: Deck, when: datetime) -> None:
        self.rows = in_force(deck.every, when, "")

    def longest(self, prefix: str) -> Rate | None:
        held = (self.rows.get(prefix[:length]) for length in range(len(prefix), -1, -1))
        row = next((row for row in held if row is not None), None)
        return None if row is None or row.blocked else row


def _row(prefix: str, cost: Rate, worth: Fraction, wish: Wish) -> Rate:
    def priced(amount: Decimal, *, a_minute: bool = True) -> Decimal:
        exact = wish.goal.price(Fraction(amount) * worth, a_minute=a_minute)
        return divide(Decimal(exact.numerator), Decimal(exact.denominator), wish.rounding)

    first_seconds, cycle = wish.increment or (cost.first_seconds, cost.cycle)
    return replace(
        cost,
        prefix=prefix,
        rate=priced(cost.rate),
        cycle=cycle,
        first_rate=priced(cost.first_rate if cost.first_seconds else cost.rate),
        first_seconds=first_seconds,
        connect=priced(cost.connect, a_minute=False) if cost.connect else cost.connect,
        minimum=priced(cost.minimum, a_minute=False) if cost.minimum else cost.minimum,
        valid_from=None,
        valid_until=None,
    )


def finer(made: Made) -> bool:
    """Whether the customer is charged in finer steps than the vendor charges: then a short call earns less, or loses."""
    (first, cycle), (cost_first, cost_cycle) = (
        (rate.first_seconds or rate.cycle, rate.cycle) for rate in (made.rate, made.cost)
    )
    return first < cost_first or cycle < cost_cycle
