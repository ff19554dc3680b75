"""What one call would earn: its price to the caller, its cost with each vendor, and what the guard says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from msgspec import Struct, field
from msgspec.structs import replace

from vosctl.rates.billing import divide
from vosctl.rates.pricing import Caller, Price, Used, account_of, in_site_currency, price, prices
from vosctl.rates.route import Offer, Seller, Vendor, route
from vosctl.site.decks import Deck, Rates
from vosctl.site.routing import Routing


class Call(Struct, frozen=True):
    """A call to ask about: digits dialled, the moment it begins (UTC), its seconds, and what the month held before."""

    number: str
    when: datetime
    seconds: Decimal
    used: Used = field(default_factory=Used)


class Side(Struct, frozen=True):
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


class Quote(Struct, frozen=True):
    """The call's prices to the caller, the cheapest first, which is charged; and the vendors, those that may carry it first."""

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


def quote(rates: Rates, routing: Routing, vendors: Sequence[Vendor], caller: Caller, call: Call) -> Quote:
    """Return what the call costs and earns; without prices where it is not sold, and then without vendors."""
    found = prices(rates, caller, call.number, call.when, call.seconds, used=call.used)
    if not found:
        return Quote(call, caller, (), ())
    ours = [replace(each, worth=rates.worth(each.deck) if each.deck else each.worth) for each in vendors]
    way = None
    for deck in _sellers(rates, caller, found[0]):
        seller = Seller(deck, rates.worth(deck), routing)
        way = way or route(seller, ours, call.number, call.when)
    sides = [_side(rates, found[0], offer, call) for offer in way.offers] if way else []
    return Quote(call, caller, found, tuple(sorted(sides, key=lambda side: not side.open)))


def _sellers(rates: Rates, caller: Caller, charged: Price) -> Iterator[Deck]:
    """Yield the deck whose routes the call takes: nodes route by the group, whatever deck is charged."""
    account = account_of(rates, caller)
    group = rates.groups.get((account.group if account else None) or caller.group or "")
    if group is not None:
        yield group
    yield charged.deck


def _side(rates: Rates, sold: Price, offer: Offer, call: Call) -> Side:
    vendor, rate = offer.vendor, offer.rate
    locked = offer.locked or ("" if offer.open else "outside its hours")
    if vendor.deck is None or rate is None or rate.blocked:
        return Side(vendor, None, locked, None, None, None)
    cost = price(rates, vendor.deck, rate, call.seconds)
    earned, paid = untaxed(rates, sold), untaxed(rates, cost)
    profit = earned - paid
    return Side(vendor, cost, locked, profit, share(profit, earned), share(profit, paid))


def untaxed(rates: Rates, sold: Price) -> Decimal:
    """Return a price in the site's currency without its tax, rounded as the deck rounds."""
    deck, last = sold.deck, sold.bill.lines[-1]
    if not deck.tax or last.what != "tax":
        return sold.amount
    net = last.amount * 100 / Fraction(deck.tax)
    bare = divide(Decimal(net.numerator), Decimal(net.denominator), deck.rounding)
    return in_site_currency(rates, deck, bare)


def share(part: Decimal | Fraction, whole: Decimal | Fraction) -> Fraction | None:
    """Return ``part`` in per cent of ``whole``; None where that is nothing."""
    return Fraction(part) / Fraction(whole) * 100 if whole else None
