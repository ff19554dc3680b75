"""Expected margins: for each prefix of a customers' group what a minute, or a call, earns with the vendor it goes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from statistics import median_low

from msgspec import Struct

from vosctl.rates.billing import sixty_times
from vosctl.rates.quote import share
from vosctl.rates.route import Offer, Seller, Vendor, route
from vosctl.site.decks import Rate

_MINUTE = 60


class Margin(Struct, frozen=True):
    """A prefix of a group and the vendor that would carry it (None: nobody may), with its ``locked`` reason if asked for.

    ``price`` and ``cost`` are exact, in the site's currency without taxes, for a minute or the call asked about.
    """

    group: str
    prefix: str
    sold: Rate
    vendor: Vendor | None
    bought: Rate | None
    price: Fraction
    cost: Fraction | None
    locked: str = ""

    @property
    def profit(self) -> Fraction | None:
        """Price less cost; None where nobody carries it."""
        return None if self.cost is None else self.price - self.cost

    @property
    def margin(self) -> Fraction | None:
        """Profit in per cent of the price."""
        return None if self.profit is None else share(self.profit, self.price)

    @property
    def markup(self) -> Fraction | None:
        """Profit in per cent of the cost."""
        return None if self.profit is None or self.cost is None else share(self.profit, self.cost)

    @property
    def losing(self) -> bool:
        """Whether it costs more than it earns."""
        return self.profit is not None and self.profit < 0


class Question(Struct, frozen=True):
    """At which moment, for a call of how many seconds (None: the rate a minute), and with which vendor (None: the first)."""

    when: datetime
    seconds: Decimal | None = None
    vendor: str | None = None


def margins(seller: Seller, vendors: Sequence[Vendor], question: Question) -> Iterator[Margin]:
    """Yield the margin of each prefix at which the group's or a vendor's rate changes, in order."""
    when = question.when
    tables = [seller.deck.at(when), *(each.deck.at(when) for each in vendors if each.deck)]
    for prefix in sorted({prefix for table in tables for prefix in table}):
        way = route(seller, vendors, prefix, when)
        if way is None:
            continue
        offer = _offer(way.offers, question.vendor)
        price = _amount(way.rate, seller.worth, question.seconds)
        if offer is None or offer.rate is None:
            if question.vendor is None:
                yield Margin(seller.deck.name, prefix, way.rate, None, None, price, None)
            continue
        cost = _amount(offer.rate, offer.vendor.worth, question.seconds)
        yield Margin(seller.deck.name, prefix, way.rate, offer.vendor, offer.rate, price, cost, offer.locked)


def _offer(offers: Sequence[Offer], vendor: str | None) -> Offer | None:
    """Return the vendor's offer, or the first that may carry the call."""
    if vendor is not None:
        return next((each for each in offers if each.vendor.name == vendor), None)
    return next((each for each in offers if each.rate is not None and not each.locked and each.open), None)


def _amount(rate: Rate, worth: Decimal, seconds: Decimal | None) -> Fraction:
    if seconds is None:
        return Fraction(rate.rate) * Fraction(worth)
    return Fraction(sixty_times(rate, seconds)) * Fraction(worth) / _MINUTE


class Summary(Struct, frozen=True):
    """Margins of one customer or vendor: how many, how many that nobody carries and that lose, and how they are spread."""

    name: str
    prefixes: int
    uncarried: int
    losing: int
    lowest: Fraction | None
    middle: Fraction | None
    highest: Fraction | None


def summaries(found: Iterable[Margin], *, by: str) -> list[Summary]:
    """Return the margins by ``customer`` or ``vendor``, by name; each prefix counts once, whatever it carries."""
    groups: dict[str, list[Margin]] = {}
    for each in found:
        name = each.group if by == "customer" else (each.vendor.name if each.vendor else "")
        groups.setdefault(name, []).append(each)
    return [_summary(name, rows) for name, rows in sorted(groups.items()) if name]


def _summary(name: str, rows: Sequence[Margin]) -> Summary:
    shares = sorted(each.margin for each in rows if each.margin is not None)
    return Summary(
        name=name,
        prefixes=len(rows),
        uncarried=sum(each.vendor is None for each in rows),
        losing=sum(each.losing for each in rows),
        lowest=shares[0] if shares else None,
        middle=median_low(shares) if shares else None,
        highest=shares[-1] if shares else None,
    )
