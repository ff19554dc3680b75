"""Rates: what customers pay and vendors cost now, and what becomes of routes: locked, freed, sold at a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from vosctl.compile.routes import vendors
from vosctl.plan.risk import Risk
from vosctl.rates.guard import margin, plain, profit
from vosctl.rates.route import Offer, Route, table
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.review.words import moved, some
from vosctl.site.decks import Deck, Rate, Rounding
from vosctl.site.model import Node, Site
from vosctl.site.tree import Mark

_FEW_ROWS = 5
_TERMS = (
    ("first_rate", "first rate"),
    ("first_seconds", "first seconds"),
    ("cycle", "cycle"),
    ("connect", "connect fee"),
)
_PER_CENT = Rounding(places=1)


@dataclass(frozen=True, slots=True)
class Ends:
    """A node in its site."""

    site: Site
    node: Node


def rates(old: Ends, new: Ends, same: Sameness) -> Iterator[Finding]:
    """Yield what changed in the decks, then what it does to the routes of each customers' group."""
    before, after = old.node.rates, new.node.rates
    if before.currency != after.currency:
        yield Finding(Area.RATES, "rates", moved("currency", before.currency, after.currency))
    for kind, olds, news in (
        ("customers'", before.groups, after.groups),
        ("vendors'", before.clearing, after.clearing),
    ):
        for name in sorted({*olds, *news}):
            yield from _deck(f"{kind} rates {name}", olds.get(name), news.get(name), same)
    yield from _routes(old, new, same)


def _deck(subject: str, old: Deck | None, new: Deck | None, same: Sameness) -> Iterator[Finding]:
    if old is None or new is None:
        deck = new or old
        assert deck is not None
        text = f"{'new' if new else 'removed'}, {len(deck.rows)} prefixes"
        yield Finding(Area.RATES, subject, text, (), deck.mark, gone=new is None)
        return
    if same(old, new):
        return
    moves = list(_rows(old.rows, new.rows))
    if len(moves) <= _FEW_ROWS:
        for prefix, text, mark in moves:
            yield Finding(Area.RATES, subject, f"{_prefix(prefix)} {text}", (), mark)
    elif moves:
        lines = tuple(f"{_prefix(prefix)} {text}" for prefix, text, _ in moves)
        yield Finding(Area.RATES, subject, _counted(old.rows, new.rows), (), moves[0][2], detail=lines)


def _rows(old: Mapping[str, Rate], new: Mapping[str, Rate]) -> Iterator[tuple[str, str, Mark]]:
    for prefix in sorted({*old, *new}):
        before, after = old.get(prefix), new.get(prefix)
        if before is None or after is None:
            row = after or before
            assert row is not None
            yield prefix, f"{'new, at' if after else 'gone, was'} {plain(row.rate)} a minute", row.mark
        elif text := _terms(before, after):
            yield prefix, text, after.mark


def _terms(old: Rate, new: Rate) -> str:
    parts = []
    if old.rate != new.rate:
        rise = "" if not old.rate else f" ({_signed(new.rate - old.rate, old.rate)})"
        parts.append(f"{plain(old.rate)} → {plain(new.rate)} a minute{rise}")
    for name, label in _TERMS:
        before, after = getattr(old, name), getattr(new, name)
        if before != after and not (name == "first_rate" and not new.first_seconds):
            parts.append(moved(label, before, after))
    return ", ".join(parts)


def _signed(difference: Decimal, base: Decimal) -> str:
    share = (difference * 100 / base).quantize(Decimal("0.1"))
    return f"{share:+f} %"


def _counted(old: Mapping[str, Rate], new: Mapping[str, Rate]) -> str:
    both = [(old[prefix].rate, new[prefix].rate) for prefix in old.keys() & new.keys()]
    counts = (
        (sum(after > before for before, after in both), "up"),
        (sum(after < before for before, after in both), "down"),
        (len(new.keys() - old.keys()), "new"),
        (len(old.keys() - new.keys()), "gone"),
    )
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "other terms at the same rates"


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
