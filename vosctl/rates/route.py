"""The route table: for each customer group and prefix the vendors in order of cost, and those that are locked.

A number belongs to the longest prefix of the group's table. The table has every prefix at which
the customer's rate or any vendor's rate changes, so both rates at that prefix are the number's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from vosctl.rates.billing import charge
from vosctl.rates.guard import lock
from vosctl.site.decks import Deck, Rate, Rounding
from vosctl.site.routing import ProfitGuard

_TIE = Rounding(places=10)
_TIE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Vendor:
    """A routing gateway: ``via`` is the trunk whose other end has it, None for the node's own."""

    name: str
    via: str | None
    deck: Deck | None
    guard: ProfitGuard | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A vendor for one prefix: its rate (None: it has none) and why it is locked ("": it is not)."""

    vendor: Vendor
    rate: Rate | None
    locked: str


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: the customer's rate and all vendors, those in use first, in order of cost."""

    prefix: str
    rate: Rate
    offers: tuple[Offer, ...]


def longest(rows: Mapping[str, Rate], number: str) -> Rate | None:
    """Return the row with the longest prefix of ``number``, or None."""
    for length in range(len(number), -1, -1):
        row = rows.get(number[:length])
        if row is not None:
            return row
    return None


def table(group: Deck, vendors: Sequence[Vendor]) -> Iterator[Route]:
    """Yield the group's routes, sorted by prefix; prefixes that the group does not sell are left out."""
    classes = _classes(vendors)
    prefixes = set(group.rows)
    for each in classes:
        prefixes.update(each.rows)
    for prefix in sorted(prefixes):
        rate = longest(group.rows, prefix)
        if rate is not None:
            yield Route(prefix, rate, tuple(_offers(prefix, rate, classes)))


@dataclass(frozen=True, slots=True)
class _Class:
    """Vendors with one deck and one guard: what holds for one of them holds for all."""

    rows: Mapping[str, Rate]
    guard: ProfitGuard | None
    vendors: tuple[Vendor, ...]


def _classes(vendors: Sequence[Vendor]) -> list[_Class]:
    members: dict[tuple[int, ProfitGuard | None], list[Vendor]] = {}
    for vendor in vendors:
        members.setdefault((id(vendor.deck), vendor.guard), []).append(vendor)
    return [
        _Class(alike[0].deck.rows if alike[0].deck else {}, guard, tuple(sorted(alike, key=_by_name)))
        for (_, guard), alike in members.items()
    ]


def _by_name(vendor: Vendor) -> tuple[bool, str, str]:
    return vendor.via is not None, vendor.name, vendor.via or ""


def _offers(prefix: str, customer: Rate, classes: Sequence[_Class]) -> Iterator[Offer]:
    ranked: dict[tuple[bool, bool, Decimal, Decimal], list[Offer]] = {}
    for each in classes:
        rate = longest(each.rows, prefix)
        why = lock(customer, rate, each.guard)
        offers = [Offer(vendor, rate, why) for vendor in each.vendors]
        ranked.setdefault((bool(why), *_cost(rate)), []).extend(offers)
    for _, offers in sorted(ranked.items()):
        yield from sorted(offers, key=lambda offer: _by_name(offer.vendor))


def _cost(rate: Rate | None) -> tuple[bool, Decimal, Decimal]:
    """Return the order of cost: by the minute, then by what a call of a minute costs; unknown cost comes last."""
    if rate is None:
        return True, Decimal(0), Decimal(0)
    return False, rate.rate, charge(rate, _TIE_SECONDS, _TIE)
