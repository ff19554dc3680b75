"""The ways of a call through a site, group by group: each vendor with cost, profit and margin, and who is locked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.routes import sellers, vendors
from vosctl.rates.guard import ALIKE, margin, minute_rate, profit
from vosctl.rates.route import Route, Seller, route
from vosctl.rates.routing.reader import RATE, REASONS, Offer, RouteFile
from vosctl.rates.routing.reader import Rate as Record
from vosctl.rates.routing.terms import decoded
from vosctl.site.decks import Rate, Rounding
from vosctl.site.model import Site

_PER_CENT = Rounding(places=2)
Amounts = tuple[Decimal | None, Decimal | None, Decimal | None]
"""A vendor's cost a minute, profit and margin in per cent."""


class Choice(Struct, frozen=True):
    """A vendor: what a minute costs, earns and leaves in per cent, in the site's currency (None: nobody knows)."""

    vendor: str
    via: str | None
    prefix: str | None
    cost: Decimal | None
    profit: Decimal | None
    margin: Decimal | None
    locked: str
    open: bool
    tied: bool
    priority: int
    weight: int
    share: int

    @property
    def usable(self) -> bool:
        """Whether it would be tried."""
        return self.open and not self.locked


class Way(Struct, frozen=True):
    """A group's way to a number; ``rate`` is the customer's a minute, None where the group does not sell it."""

    group: str
    nodes: tuple[str, ...]
    currency: str
    prefix: str
    rate: Decimal | None
    choices: tuple[Choice, ...]

    @property
    def usable(self) -> bool:
        """Whether any vendor would be tried."""
        return any(each.usable for each in self.choices)


def from_site(site: Site, number: str, when: datetime) -> list[Way]:
    """Return the ways of all groups of the nodes selected; nodes with the same way share one."""
    found: dict[Way, tuple[str, ...]] = {}
    for name in site.selected:
        node = site.nodes[name]
        offered = vendors(site, node)
        for seller in sellers(node):
            way = _way(seller, node.rates.currency, route(seller, offered, number, when))
            found[way] = (*found.get(way, ()), name)
    return [replace(way, nodes=nodes) for way, nodes in found.items()]


def _way(seller: Seller, currency: str, found: Route | None) -> Way:
    if found is None:
        return Way(seller.deck.name, (), currency, "", None, ())
    choices = tuple(_choices(seller, found))
    return Way(seller.deck.name, (), currency, found.prefix, minute_rate(found.rate, seller.worth), choices)


def _choices(seller: Seller, found: Route) -> Iterator[Choice]:
    for offer in found.offers:
        vendor, own = offer.vendor, offer.vendor.routing
        prefix = None if offer.rate is None else offer.rate.prefix
        amounts = _amounts(found.rate, offer.rate, (seller.worth, vendor.worth))
        yield Choice(
            vendor.name, vendor.via, prefix, *amounts, offer.locked, offer.open, offer.tied,
            own.priority, own.weight, own.share,
        )  # fmt: skip


def from_file(content: bytes, name: str, number: str, when: datetime) -> list[Way]:
    """Return what a compiled route file says of a number, for each of its groups."""
    file = RouteFile(content)
    ways = []
    for group in file.groups:
        found = file.find(group, number, when)
        if found is None:
            ways.append(Way(group, (name,), file.currency, "", None, ()))
            continue
        sold, worth = _row(found.rate), Decimal(file.worth(found.rate.currency))
        choices = []
        for offer in found.offers:
            bought = None if offer.rate is None else _row(offer.rate)
            worths = worth, Decimal(file.worth(offer.rate.currency)) if offer.rate else ALIKE[1]
            choices.append(_compiled(file, offer, _amounts(sold, bought, worths), when))
        rate_now = minute_rate(sold, worth)
        ways.append(Way(group, (name,), file.currency, found.prefix, rate_now, tuple(choices)))
    return ways


def _compiled(file: RouteFile, offer: Offer, amounts: Amounts, when: datetime) -> Choice:
    vendor, opened = offer.vendor, file.is_open(offer.vendor, when)
    return Choice(
        vendor.name, vendor.via, None, *amounts, REASONS[offer.reason], opened, offer.tied,
        vendor.priority, vendor.weight, vendor.share,
    )  # fmt: skip


def _amounts(sold: Rate, bought: Rate | None, worths: tuple[Decimal, Decimal]) -> Amounts:
    if bought is None or bought.blocked:
        return None, None, None
    return (
        minute_rate(bought, worths[1]),
        profit(sold, bought, worths),
        margin(sold, bought, _PER_CENT, worths),
    )


def _row(rate: Record) -> Rate:
    return decoded(RATE.pack(*rate[:8], 0, rate.blocked, 0))
