"""What is done to every prefix: spread rows, put vendors in order, lock them; in plain Python.

``native`` does the same in C, where that was compiled. Columns are arrays of 32-bit numbers, one for each prefix.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from vosctl.rates.guard import Verdict
from vosctl.rates.lookup.keys import KEY, NONE

Column: TypeAlias = "array[int]"
SAME = NONE - 1
"""In a table of differences: as in the table it is held against."""
_OFFER = struct.Struct("=HHI")
_CELL = struct.Struct("=II")


class Store(Protocol):
    """Records of one size, each kept once, numbered as they were first seen."""

    def add(self, records: bytes) -> Column:
        """Return the number of each record."""

    def records(self) -> bytes:
        """Return all records, in the order of their numbers."""


class Order(Struct, frozen=True):
    """What orders vendors: by priority, then quality, then cost; equal ones stay as they are.

    ``terms`` and ``quality`` are columns by vendor, ``cost`` is by term: ranks, the lowest first.
    """

    terms: Sequence[Column]
    quality: Sequence[Column] | None
    cost: Column
    priority: Column


class Ranks(Struct, frozen=True):
    """By term: the rank of its rate, of its dearest minute, of its cost; whether it is blocked (a byte each)."""

    rate: Column
    dearest: Column
    cost: Column
    blocked: bytes


class Locks(Struct, frozen=True):
    """What locks vendors, by guard, as ranks.

    ``guards`` says which guard holds for a zone (of ``zone``, a column of prefixes; None: there is one) and a
    vendor. A vendor's term is locked where ``dearest`` is not below the guard's ``most``, or ``rate`` not below
    ``ceiling[guard][column[customer's term]]``.
    """

    vendors: int
    zone: Column | None
    guards: Column
    check_rate: bytes
    most: Column
    column: Column
    ceiling: Sequence[Column]


class Offers(Protocol):
    """Lists of offers, ready to be locked."""

    def cells(self, customer: Column, lists: Column, locks: Locks, reasons: Store, cells: Store) -> Column:
        """Return for each prefix the number of its cell: the customer's term, the number of the verdicts by place.

        ``lists`` is the number of each prefix's list of offers. NONE: the group does not sell the prefix.
        """


class Bulk(Protocol):
    """The work on all prefixes."""

    def merge(self, keys: Sequence[bytes]) -> bytes:
        """Return all packed keys, sorted, each once."""

    def spread(self, keys: bytes, parents: Column, own_keys: bytes, own: Column) -> Column:
        """Return for each key the value at the longest of ``own_keys`` that it begins with, NONE for none."""

    def store(self, size: int) -> Store:
        """Return an empty store of records of so many bytes."""

    def orders(self, order: Order, offers: Store) -> Column:
        """Return for each prefix the number of its list of offers: vendor, tied (16 bits each), term."""

    def offers(self, store: Store, vendors: int, ranks: Ranks) -> Offers:
        """Return the lists of a store of offers, with what each is compared by."""

    def runs(self, values: Column) -> tuple[Column, Column]:
        """Return where runs of equal values begin, and the values."""

    def mask(self, values: Column, base: Column) -> Column:
        """Return the values, SAME where they are as in ``base``."""


class PlainStore:
    """A store in Python."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[bytes, int] = {}

    def add(self, records: bytes) -> Column:
        """Return the number of each record."""
        size, known = self._size, self._known
        cut = (records[at : at + size] for at in range(0, len(records), size))
        return array("I", (known.setdefault(record, len(known)) for record in cut))

    def records(self) -> bytes:
        """Return all records, in the order of their numbers."""
        return b"".join(self._known)


class PlainBulk:
    """The work on all prefixes, in Python."""

    def merge(self, keys: Sequence[bytes]) -> bytes:
        """Return all packed keys, sorted, each once."""
        return b"".join(sorted({each[at : at + KEY] for each in keys for at in range(0, len(each), KEY)}))

    def spread(self, keys: bytes, parents: Column, own_keys: bytes, own: Column) -> Column:
        """Return for each key the value at the longest of ``own_keys`` that it begins with, NONE for none."""
        held = {own_keys[at : at + KEY]: own[at // KEY] for at in range(0, len(own_keys), KEY)}
        out = array("I")
        for at, parent in enumerate(parents):
            value = held.get(keys[KEY * at : KEY * at + KEY])
            out.append((NONE if parent == NONE else out[parent]) if value is None else value)
        return out

    def store(self, size: int) -> Store:
        """Return an empty store of records of so many bytes."""
        return PlainStore(size)

    def orders(self, order: Order, offers: Store) -> Column:
        """Return for each prefix the number of its list of offers."""
        lists = []
        for at in range(len(order.terms[0]) if order.terms else 0):
            ranked = sorted(
                (
                    order.priority[vendor],
                    order.quality[vendor][at] if order.quality else 0,
                    NONE if terms[at] == NONE else order.cost[terms[at]],
                    vendor,
                )
                for vendor, terms in enumerate(order.terms)
            )
            befores = [None, *(each[:3] for each in ranked)]
            lists.append(
                b"".join(
                    _OFFER.pack(own[3], own[:3] == before, order.terms[own[3]][at])
                    for own, before in zip(ranked, befores, strict=False)
                )
            )
        return offers.add(b"".join(lists))

    def offers(self, store: Store, vendors: int, ranks: Ranks) -> Offers:
        """Return the lists of a store of offers, with what each is compared by."""
        return PlainOffers(store.records(), vendors, ranks)

    def runs(self, values: Column) -> tuple[Column, Column]:
        """Return where runs of equal values begin, and the values."""
        starts = array("I", (at for at, value in enumerate(values) if not at or value != values[at - 1]))
        return starts, array("I", (values[at] for at in starts))

    def mask(self, values: Column, base: Column) -> Column:
        """Return the values, SAME where they are as in ``base``."""
        return array("I", (SAME if own == other else own for own, other in zip(values, base, strict=True)))


class PlainOffers:
    """Lists of offers in Python."""

    def __init__(self, records: bytes, vendors: int, ranks: Ranks) -> None:
        self._ranks = ranks
        size = _OFFER.size * vendors
        cut = (records[at : at + size] for at in range(0, len(records), size or 1))
        self._lists = [[(vendor, term) for vendor, _, term in _OFFER.iter_unpack(each)] for each in cut]

    def cells(self, customer: Column, lists: Column, locks: Locks, reasons: Store, cells: Store) -> Column:
        """Return for each prefix the number of its cell."""
        out = array("I", [NONE]) * len(customer)
        for at, sold in enumerate(customer):
            if sold == NONE or self._ranks.blocked[sold]:
                continue
            first = locks.vendors * (locks.zone[at] if locks.zone else 0)
            offers = self._lists[lists[at]] if locks.vendors else []
            why = bytes(
                self._verdict(term, locks, locks.guards[first + vendor], sold) for vendor, term in offers
            )
            number = reasons.add(why)[0] if locks.vendors else 0
            out[at] = cells.add(_CELL.pack(sold, number))[0]
        return out

    def _verdict(self, term: int, locks: Locks, guard: int, customer: int) -> Verdict:
        if term == NONE:
            return Verdict.NO_RATE if locks.check_rate[guard] else Verdict.OPEN
        if self._ranks.blocked[term]:
            return Verdict.BLOCKED
        if self._ranks.dearest[term] >= locks.most[guard]:
            return Verdict.TOO_DEAR
        limit = locks.ceiling[guard][locks.column[customer]]
        return Verdict.TOO_LITTLE if self._ranks.rate[term] >= limit else Verdict.OPEN
