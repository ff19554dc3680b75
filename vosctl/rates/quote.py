"""What one call would earn: its price to the caller, its cost with each vendor, and what the guard says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from vosctl.rates.billing import MINUTE, charge, divide
from vosctl.rates.guard import lock
from vosctl.rates.pricing import Caller, Price, Used, in_site_currency, price, prices
from vosctl.rates.route import Vendor
from vosctl.site.decks import Rates, Rounding

_UNKNOWN = Decimal("Infinity")
_TIE = Rounding(places=10)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to ask about: digits dialled, the moment it begins (UTC), its seconds, and what the month held before."""

    number: str
    when: datetime
    seconds: Decimal
    used: Used = field(default_factory=Used)


@dataclass(frozen=True, slots=True)
class Side:
    """A vendor for the call: what it costs (None: no rate), why it is locked ("": it is not), what is earned.

    ``profit`` is in the site's currency and without taxes, which nobody earns.
    """

    vendor: Vendor
    price: Price | None
    locked: str
    profit: Decimal | None
    margin: Fraction | None
    markup: Fraction | None

    @property
    def open(self) -> bool:
        """Whether it may carry the call, and it is known what that costs."""
        return self.price is not None and not self.locked


@dataclass(frozen=True, slots=True)
class Quote:
    """The call's prices to the caller, the cheapest first, which is charged; and the vendors in order of cost."""

    call: Call
    caller: Caller
    prices: tuple[Price, ...]
    sides: tuple[Side, ...]

    @property
    def charged(self) -> Price | None:
        """The price that counts; None where nobody sells the number to the caller."""
        return self.prices[0] if self.prices else None

    @property
    def best(self) -> Side | None:
        """The vendor that would be tried first."""
        return next((side for side in self.sides if side.open), None)


def quote(rates: Rates, vendors: Sequence[Vendor], caller: Caller, call: Call) -> Quote:
    """Return what the call costs and earns; without prices where it is not sold, and then without vendors."""
    found = prices(rates, caller, call.number, call.when, call.seconds, used=call.used)
    if not found:
        return Quote(call, caller, (), ())
    sides = [_side(rates, found[0], vendor, call) for vendor in vendors]
    return Quote(call, caller, found, tuple(sorted(sides, key=_order(rates))))


def _side(rates: Rates, sold: Price, vendor: Vendor, call: Call) -> Side:
    rate = vendor.deck.find(call.number, call.when) if vendor.deck else None
    if vendor.deck is None or rate is None or rate.blocked:
        why = "the vendor's row is blocked" if rate is not None else lock(sold.rate, None, vendor.guard)
        return Side(vendor, None, why, None, None, None)
    cost = price(rates, vendor.deck, rate, call.seconds)
    earned, paid = untaxed(rates, sold), untaxed(rates, cost)
    profit = earned - paid
    return Side(
        vendor, cost, lock(sold.rate, rate, vendor.guard), profit, share(profit, earned), share(profit, paid)
    )


def untaxed(rates: Rates, sold: Price) -> Decimal:
    """Return a price in the site's currency without its tax, rounded as the deck rounds."""
    deck, last = sold.deck, sold.bill.lines[-1]
    if not deck.tax or last.what != "tax":
        return sold.amount
    net = last.amount * 100 / Fraction(deck.tax)
    bare = divide(Decimal(net.numerator), Decimal(net.denominator), deck.rounding)
    return in_site_currency(rates, deck, bare)


def share(part: Decimal, whole: Decimal) -> Fraction | None:
    """Return ``part`` in per cent of ``whole``; None where that is nothing."""
    return Fraction(part) / Fraction(whole) * 100 if whole else None


def _order(rates: Rates) -> Callable[[Side], tuple[object, ...]]:
    """Return the order of the route table: by the minute, then by what a call of a minute costs, own vendors first."""

    def key(side: Side) -> tuple[object, ...]:
        vendor = side.vendor
        name = vendor.via is not None, vendor.name, vendor.via or ""
        if side.price is None:
            return True, _UNKNOWN, _UNKNOWN, *name
        worth, rate = rates.worth(side.price.deck), side.price.rate
        return not side.open, rate.rate * worth, charge(rate, MINUTE, _TIE) * worth, *name

    return key
