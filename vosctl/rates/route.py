"""The way of one call: for a customers' group and a number the vendors in order, and those that are locked.

The order is by priority, by quality where the site asks for it, by cost, then the node's own before those that a
trunk leads to, then by name. Route files (vosctl.rates.routing) are compiled to give the same for every number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.billing import charge
from vosctl.rates.guard import governing, lock, minute_rate
from vosctl.site.decks import Deck, Rate, Rounding
from vosctl.site.routing import (
    DEFAULT_GATEWAY_ROUTING,
    DEFAULT_ROUTING,
    OPEN,
    GatewayRouting,
    ProfitGuard,
    Quality,
    Routing,
)

_TIE = Rounding(places=10)
_TIE_SECONDS = 60
_ONE = Decimal(1)
_NOTHING = Decimal(0)


class Vendor(Struct, frozen=True):
    """A routing gateway: ``via`` is the trunk whose other end has it, None for the node's own.

    ``worth`` is what one unit of its deck's currency is in the site's.
    """

    name: str
    via: str | None
    deck: Deck | None
    guard: ProfitGuard | None
    routing: GatewayRouting = DEFAULT_GATEWAY_ROUTING
    worth: Decimal = _ONE


class Seller(Struct, frozen=True):
    """A customers' group with what one unit of its deck's currency is in the site's, and the node's routing."""

    deck: Deck
    worth: Decimal = _ONE
    routing: Routing = DEFAULT_ROUTING


class Offer(Struct, frozen=True):
    """A vendor for a call: its rate (None: it has none), why it is locked ("": it is not), whether it is open now.

    ``tied``: it ranks as the one before it, and their weights decide between them.
    """

    vendor: Vendor
    rate: Rate | None
    locked: str
    tied: bool = False
    open: bool = True


class Route(Struct, frozen=True):
    """What the customer pays, by the row of which prefix, and all vendors in order."""

    prefix: str
    rate: Rate
    offers: tuple[Offer, ...]


def route(seller: Seller, vendors: Sequence[Vendor], number: str, when: datetime) -> Route | None:
    """Return the way of a call that begins at a moment; None where the group does not sell the number."""
    sold = seller.deck.find(number, when)
    if sold is None or sold.blocked:
        return None
    ranked: list[tuple[Rank, Offer]] = []
    for vendor in sorted(vendors, key=by_name):
        rate = vendor.deck.find(number, when) if vendor.deck else None
        guard = governing(vendor.guard, seller.routing, seller.deck.name, number)
        why = lock(sold, rate, guard, (seller.worth, vendor.worth))
        opened = vendor.routing.hours is None or vendor.routing.hours.section(when) == OPEN
        quality = _nearest(seller.routing.statistics.get(vendor.name, {}), number)
        ranked.append((rank(vendor, rate, quality, seller.routing), Offer(vendor, rate, why, open=opened)))
    ranked.sort(key=lambda pair: pair[0])
    return Route(sold.prefix, sold, tuple(_tied(ranked)))


def _tied(ranked: Sequence[tuple[Rank, Offer]]) -> Iterator[Offer]:
    before = None
    for own, offer in ranked:
        yield Offer(offer.vendor, offer.rate, offer.locked, tied=own == before, open=offer.open)
        before = own


def _nearest(measured: Mapping[str, Quality], number: str) -> Quality | None:
    found = (measured.get(number[:length]) for length in range(len(number), -1, -1))
    return next((quality for quality in found if quality is not None), None)


Cost = tuple[bool, Decimal, Decimal]
Rank = tuple[int, tuple[int, Decimal], Cost]


def rank(vendor: Vendor, rate: Rate | None, quality: Quality | None, routing: Routing) -> Rank:
    """Return what decides the order: priority, quality, cost."""
    return vendor.routing.priority, quality_rank(quality, routing), cost(rate, vendor.worth)


def quality_rank(quality: Quality | None, routing: Routing) -> tuple[int, Decimal]:
    """Return the order of quality: below a limit comes last, a vendor without figures before those.

    With ``order: quality`` the most talk per tried call comes first, and those without figures after the measured.
    """
    if quality is None:
        return (1 if routing.order == "quality" else 0), _NOTHING
    if quality.asr < routing.lowest_asr or quality.acd < routing.lowest_acd:
        return 2, _NOTHING
    return 0, (-quality.seconds if routing.order == "quality" else _NOTHING)


def cost(rate: Rate | None, worth: Decimal) -> Cost:
    """Return the order of cost: by the minute, then by what a call of a minute costs; unknown cost comes last."""
    if rate is None:
        return True, _NOTHING, _NOTHING
    return False, minute_rate(rate, worth), charge(rate, _TIE_SECONDS, _TIE) * worth


def by_name(vendor: Vendor) -> tuple[bool, str, str]:
    """Return the order of vendors that nothing else decides: the node's own, then by name, then by trunk."""
    return vendor.via is not None, vendor.name, vendor.via or ""
