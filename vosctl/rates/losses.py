"""Where a customers' group is sold below what an open vendor takes: losses that no guard prevents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.guard import governing, lock, loss
from vosctl.rates.route import Seller, Vendor, route
from vosctl.site.decks import Rate


class Loss(Struct, frozen=True):
    """A prefix that loses with a vendor: ``amount`` a minute, negative, in the site's currency.

    ``first``: the vendor is the one that is tried first; else it carries calls that others before it could not.
    """

    prefix: str
    sold: Rate
    vendor: Vendor
    cost: Rate
    amount: Decimal
    first: bool


def losses(seller: Seller, vendors: Sequence[Vendor], when: datetime) -> Iterator[Loss]:
    """Yield every prefix and vendor at a loss, by vendor and prefix; of a vendor reached by several ways the first.

    The prefixes are all at which the customer's rate or the vendor's changes. What the guards lock is no loss.
    """
    seen: set[str] = set()
    for vendor in vendors:
        if vendor.deck is None or vendor.name in seen:
            continue
        seen.add(vendor.name)
        worths = seller.worth, vendor.worth
        alike = seller.worth == vendor.worth
        for prefix, sold, cost in pairs(seller.deck.at(when), vendor.deck.at(when)):
            if alike and cost.rate <= sold.rate:
                continue
            amount = None if sold.blocked or cost.blocked else loss(sold, cost, worths)
            if amount is None:
                continue
            guard = governing(vendor.guard, seller.routing, seller.deck.name, prefix)
            if not lock(sold, cost, guard, worths):
                yield Loss(
                    prefix, sold, vendor, cost, amount, _is_first(seller, vendors, prefix, when, vendor)
                )


def pairs(sold: Mapping[str, Rate], costs: Mapping[str, Rate]) -> Iterator[tuple[str, Rate, Rate]]:
    """Yield each prefix at which one of two tables changes, with the rows of both that it is priced by.

    Prefixes that a table has no row for, not even a shorter one, are left out.
    """
    path: list[tuple[str, Rate | None, Rate | None]] = [("", None, None)]
    for prefix in sorted({*sold, *costs}):
        while not prefix.startswith(path[-1][0]):
            path.pop()
        _, price, cost = path[-1]
        price, cost = sold.get(prefix, price), costs.get(prefix, cost)
        path.append((prefix, price, cost))
        if price is not None and cost is not None:
            yield prefix, price, cost


def _is_first(seller: Seller, vendors: Sequence[Vendor], prefix: str, when: datetime, vendor: Vendor) -> bool:
    way = route(seller, vendors, prefix, when)
    offers = way.offers if way else ()
    tried = next((offer for offer in offers if offer.rate and not offer.locked and offer.open), None)
    return tried is not None and tried.vendor.name == vendor.name
