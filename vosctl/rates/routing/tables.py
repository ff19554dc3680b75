"""Compiles route tables: for every prefix of any deck the vendors in order, and for each group who is locked."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from functools import partial

from msgspec import Struct, field

from vosctl.rates import guard as the_guard
from vosctl.rates.guard import OPEN_TO_ALL, combined, dearest_minute, minute_rate
from vosctl.rates.lookup import Prefixes
from vosctl.rates.lookup.keys import NONE, pack
from vosctl.rates.route import Seller, Vendor, by_name, cost, quality_rank
from vosctl.rates.routing.bulk import Bulk, Column, Locks, Offers, Order, Ranks
from vosctl.rates.routing.clock import Clock, State, View, rows
from vosctl.rates.routing.native import bulk
from vosctl.rates.routing.reader import CELL, OFFER
from vosctl.rates.routing.terms import Terms
from vosctl.site.decks import Deck
from vosctl.site.routing import ProfitGuard, Quality, Routing

_ALL = NONE  # no rank is above it


class Source(Struct, frozen=True):
    """What a node's routes are made of: customers' groups by name, the vendors, the node's routing and currency."""

    currency: str
    sellers: tuple[Seller, ...]
    vendors: tuple[Vendor, ...]
    routing: Routing


class Tables(Struct, frozen=True):
    """A node's route tables; ``columns`` are distinct tables, ``views`` says which of them each view uses.

    A view has the number of its table of offers, then of each group's table of cells.
    """

    source: Source
    clock: Clock
    keys: bytes
    parents: bytes
    terms: Terms
    offers: bytes
    reasons: bytes
    cells: bytes
    columns: tuple[Column, ...]
    views: tuple[tuple[int, ...], ...]


def compile_tables(source: Source, *, native: bool = True) -> Tables:
    """Return the tables; in C where it was compiled and is wanted, else the same in Python."""
    return _Making(source, bulk(native=native), native=native).tables()


class _Amounts(Struct):
    """By term its rate a minute; all rates and all dearest minutes in order; and the ranks that terms have in them."""

    by_minute: list[Decimal]
    rates: list[Decimal]
    dearests: list[Decimal]
    ranks: Ranks

    @classmethod
    def of(cls, terms: Terms) -> _Amounts:
        known = terms.rates()
        by_minute = [minute_rate(rate, worth) for rate, worth in known]
        rates, rate = _ranked(by_minute)
        dearests, dearest = _ranked([dearest_minute(rate, worth) for rate, worth in known])
        _, costs = _ranked([cost(rate, worth) for rate, worth in known])
        blocked = bytes(rate.blocked for rate, _ in known)
        return cls(by_minute, rates, dearests, Ranks(rate, dearest, costs, blocked))


def _ranked(values: list) -> tuple[list, Column]:  # type: ignore[type-arg]
    """Return the distinct values in order, and of each value its place among them."""
    ordered = sorted(set(values))
    place = {value: at for at, value in enumerate(ordered)}
    return ordered, array("I", (place[value] for value in values))


class _Making:
    def __init__(self, source: Source, work: Bulk, *, native: bool) -> None:
        self.source, self.work = source, work
        self.vendors = sorted(source.vendors, key=by_name)
        decks = [seller.deck for seller in source.sellers]
        decks += [vendor.deck for vendor in self.vendors if vendor.deck is not None]
        self.decks = list({id(deck): deck for deck in decks}.values())
        self.clock = Clock.of(self.decks)
        self.worths: dict[int, tuple[str, Decimal]] = {}
        sides = [(seller.deck, seller.worth) for seller in source.sellers]
        sides += [(vendor.deck, vendor.worth) for vendor in self.vendors if vendor.deck is not None]
        for deck, worth in sides:
            self.worths[id(deck)] = deck.currency or source.currency, worth
        self.terms = Terms(work, sorted(set(self.worths.values())) or [(source.currency, Decimal(1))])
        self.views = list(self.clock.views())
        self.own = self._own_columns()
        self.keys = work.merge([*(keys for keys, _ in self.own.values()), *self._further_keys()])
        index = Prefixes(keys=self.keys, native=native)
        self.parents = array("I", index.parents)
        self.spread: dict[tuple[int, State], Column] = {}
        self.nothing = array("I", [NONE]) * len(self.parents)
        self.amounts = _Amounts.of(self.terms)
        self.zones = _Zones(source.routing, self)
        self.quality = self._quality()
        self.offers = work.store(OFFER.size * len(self.vendors))
        self.reasons, self.cells = work.store(len(self.vendors)), work.store(CELL.size)

    def _own_columns(self) -> dict[tuple[int, State], tuple[bytes, Column]]:
        states = {
            (id(deck), self.clock.state(deck, view)): deck for deck in self.decks for view in self.views
        }
        return {
            (own, state): self.terms.column(rows(deck, state), self.worths[own])
            for (own, state), deck in states.items()
        }

    def _further_keys(self) -> list[bytes]:
        """Return the keys at which guards or statistics change, and that of all numbers, for what holds elsewhere."""
        routing = self.source.routing
        prefixes = {*routing.prefixes, *(each for own in routing.statistics.values() for each in own)}
        return [b"".join(sorted(map(pack, {*prefixes, ""})))] if prefixes else []

    def column(self, deck: Deck | None, view: View) -> Column:
        """Return for each prefix the number of what the deck charges in a view, NONE for nothing."""
        if deck is None:
            return self.nothing
        key = id(deck), self.clock.state(deck, view)
        if key not in self.spread:
            self.spread[key] = self.work.spread(self.keys, self.parents, *self.own[key])
        return self.spread[key]

    def spread_values(self, values: Mapping[str, int]) -> Column:
        """Return for each prefix the value of the longest one in ``values``."""
        packed = sorted((pack(prefix), value) for prefix, value in values.items())
        keys = b"".join(key for key, _ in packed)
        return self.work.spread(self.keys, self.parents, keys, array("I", (value for _, value in packed)))

    def _quality(self) -> list[Column] | None:
        routing = self.source.routing
        if not routing.statistics:
            return None
        measured = [routing.statistics.get(vendor.name, {}) for vendor in self.vendors]
        found: list[dict[str, Quality | None]] = [{"": None, **own} for own in measured]
        ranks = {quality_rank(quality, routing) for own in found for quality in own.values()}
        place = {rank: at for at, rank in enumerate(sorted(ranks))}
        return [
            self.spread_values(
                {prefix: place[quality_rank(quality, routing)] for prefix, quality in own.items()}
            )
            for own in found
        ]

    def tables(self) -> Tables:
        made = _Made()
        states = [
            tuple((id(each.deck), self.clock.state(each.deck, view)) if each.deck else None
                  for each in self.vendors)
            for view in self.views
        ]  # fmt: skip
        orders = [
            made.once(("offers", state), partial(self._orders, view))
            for view, state in zip(self.views, states, strict=True)
        ]
        offers = self.work.offers(self.offers, len(self.vendors), self.amounts.ranks)
        views = []
        for view, state, order in zip(self.views, states, orders, strict=True):
            numbers = [order]
            for seller in self.source.sellers:
                key = seller.deck.name, self.clock.state(seller.deck, view), state
                numbers.append(
                    made.once(key, partial(self._cells, view, seller, offers, made.columns[order]))
                )
            views.append(tuple(numbers))
        return Tables(
            self.source, self.clock, self.keys, self.parents.tobytes(), self.terms, self.offers.records(),
            self.reasons.records(), self.cells.records(), tuple(made.columns), tuple(views),
        )  # fmt: skip

    def _orders(self, view: View) -> Column:
        if not self.vendors:
            return self.nothing
        order = Order(
            [self.column(vendor.deck, view) for vendor in self.vendors],
            self.quality,
            self.amounts.ranks.cost,
            array("I", (vendor.routing.priority for vendor in self.vendors)),
        )
        return self.work.orders(order, self.offers)

    def _cells(self, view: View, seller: Seller, offers: Offers, lists: Column) -> Column:
        customer = self.column(seller.deck, view)
        guards, numbers = self.zones.guards(self.source.routing.groups.get(seller.deck.name), self.vendors)
        column, ceilings = self._ceilings(customer, guards)
        locks = Locks(
            vendors=len(self.vendors),
            zone=self.zones.column,
            guards=numbers,
            check_rate=bytes(bool(guard.check_rate) for guard in guards),
            most=array("I", (self._most(guard) for guard in guards)),
            column=column,
            ceiling=ceilings,
        )
        return offers.cells(customer, lists, locks, self.reasons, self.cells)

    def _most(self, guard: ProfitGuard) -> int:
        """Return the highest rank of a dearest minute that the guard allows, plus one."""
        limit = guard.max_minute_rate
        return _ALL if limit is None else bisect_right(self.amounts.dearests, limit)

    def _ceilings(self, customer: Column, guards: Sequence[ProfitGuard]) -> tuple[Column, list[Column]]:
        """Return the column of each of the group's terms, and by guard and column the ranks that are allowed."""
        sold = sorted(set(customer) - {NONE})
        column = array("I", bytes(4 * len(self.amounts.by_minute)))
        places: dict[Decimal, int] = {}
        for term in sold:
            column[term] = places.setdefault(self.amounts.by_minute[term], len(places))
        rates = self.amounts.rates
        limits = ([the_guard.ceiling(rate, guard) for rate in places] for guard in guards)
        return column, [
            array("I", (_ALL if limit is None else bisect_right(rates, limit) for limit in each))
            for each in limits
        ]


class _Made(Struct):
    """Tables, each made once for the same states of the decks and kept once."""

    columns: list[Column] = field(default_factory=list)
    _numbers: dict[Hashable, int] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Column]) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.columns)
            self.columns.append(make())
        return self._numbers[key]


class _Zones:
    """Where guards of prefixes hold: zone 0 is where none does."""

    def __init__(self, routing: Routing, making: _Making) -> None:
        ordered = sorted(routing.prefixes)
        self._guards = (None, *(routing.prefixes[prefix] for prefix in ordered))
        zones = {"": 0} | {prefix: zone for zone, prefix in enumerate(ordered, 1)}
        self.column = making.spread_values(zones) if ordered else None

    def guards(
        self, group: ProfitGuard | None, vendors: Sequence[Vendor]
    ) -> tuple[tuple[ProfitGuard, ...], Column]:
        """Return the distinct guards, and which of them holds in each zone for each vendor."""
        known: dict[ProfitGuard, int] = {}
        numbers = array("I")
        for zone in self._guards:
            for vendor in vendors:
                guard = combined(vendor.guard, group, zone) or OPEN_TO_ALL
                numbers.append(known.setdefault(guard, len(known)))
        return tuple(known), numbers
