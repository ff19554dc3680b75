"""Rates: what customers pay and vendors cost now, and what becomes of routes: locked, freed, sold at a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vosctl.compile.routes import vendors
from vosctl.plan.risk import Risk
from vosctl.rates.guard import margin, plain, profit
from vosctl.rates.route import Offer, Route, table
from vosctl.review.decks import decks
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.review.words import some
from vosctl.site.decks import Rounding
from vosctl.site.model import Node, Site
from vosctl.site.tree import Mark

_PER_CENT = Rounding(places=1)


@dataclass(frozen=True, slots=True)
class Ends:
    """A node in its site."""

    site: Site
    node: Node


def rates(old: Ends, new: Ends, same: Sameness) -> Iterator[Finding]:
    """Yield what changed in the decks, then what it does to the routes of each customers' group."""
    yield from decks(old.node.rates, new.node.rates, same)
    yield from _routes(old, new, same)


def _prefix(prefix: str) -> str:
    return prefix or "(all others)"


def _routes(old: Ends, new: Ends, same: Sameness) -> Iterator[Finding]:
    before, after = (end.node.rates.groups for end in (old, new))
    olds, news = (vendors(end.site, end.node) for end in (old, new))
    alike = same(olds, news)
    for name in sorted(before.keys() & after.keys()):
        if alike and same(before[name], after[name]):
            continue
        was = {route.prefix: route for route in table(before[name], olds)}
        now = {route.prefix: route for route in table(after[name], news)}
        yield from _GroupRoutes(name, was, now).findings(after[name].mark)


@dataclass(frozen=True, slots=True)
class _GroupRoutes:
    """A customers' group's routes by prefix, before and now."""

    group: str
    was: Mapping[str, Route]
    now: Mapping[str, Route]

    def findings(self, mark: Mark) -> Iterator[Finding]:
        """Yield vendors that become locked or free, routes at a loss, and prefixes that nobody carries any more."""
        told: dict[tuple[str, Risk | None], list[tuple[str, str]]] = {}
        for prefix, route in self.now.items():
            for key, why in self._of(prefix, route):
                told.setdefault(key, []).append((prefix, why))
        for (text, risk), rows in told.items():
            prefixes = some([_prefix(prefix) for prefix, _ in rows])
            lines = tuple(f"{_prefix(prefix)}: {why}" for prefix, why in rows if why)
            reason = f" ({rows[0][1]})" if len(rows) == 1 and rows[0][1] else ""
            yield Finding(
                Area.RATES, f"routes of {self.group}", f"{text} {prefixes}{reason}",
                (risk,) if risk else (), mark, detail=lines if len(rows) > 1 else (),
            )  # fmt: skip

    def _of(self, prefix: str, route: Route) -> Iterator[tuple[tuple[str, Risk | None], str]]:
        before = self.was.get(prefix) or _nearest(self.was, prefix)
        was, now = _locks(before), _locks(route)
        for vendor, why in now.items():
            if why and was.get(vendor) == "":
                yield (f"vendor {vendor} becomes locked for", Risk.LOCKS_VENDOR), why
            elif not why and was.get(vendor):
                yield (f"vendor {vendor} is free again for", None), ""
        loss = _loss(route)
        if loss and not (before and _loss(before)):
            yield ("sold at a loss:", Risk.NEGATIVE_MARGIN), loss
        if not _open(route) and before and _open(before):
            yield ("no vendor is left for", Risk.NO_ROUTE), ""


def _locks(route: Route | None) -> dict[str, str]:
    """Return vendor → why it is locked, "" if it is not; by which trunk it is reached makes no difference."""
    return {offer.vendor.name: offer.locked for offer in route.offers} if route else {}


def _nearest(routes: Mapping[str, Route], prefix: str) -> Route | None:
    """Return the route that a number with this prefix took."""
    found = (routes.get(prefix[:length]) for length in range(len(prefix), -1, -1))
    return next((route for route in found if route is not None), None)


def _open(route: Route) -> list[Offer]:
    return [offer for offer in route.offers if not offer.locked and offer.rate is not None]


def _loss(route: Route) -> str:
    """Return how much a minute loses on the first vendor, "" where it earns."""
    first = next(iter(_open(route)), None)
    if first is None or first.rate is None or profit(route.rate, first.rate) >= 0:
        return ""
    share = margin(route.rate, first.rate, _PER_CENT)
    of = "" if share is None else f", {plain(share)} %"
    lost = profit(route.rate, first.rate)
    return f"{plain(lost)} a minute on {first.vendor.name}{of}"
