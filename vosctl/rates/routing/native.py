"""The work on all prefixes in C (``lookup/native/routes.c``), where it was compiled: the same results as ``PlainBulk``."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from vosctl.errors import VosctlError
from vosctl.rates.lookup.keys import KEY
from vosctl.rates.lookup.native import library as lookup_library
from vosctl.rates.routing.bulk import (
    SAME,
    Bulk,
    Column,
    Locks,
    Offers,
    Order,
    PlainBulk,
    PlainOffers,
    Ranks,
    Store,
)

_POINTER = ctypes.c_void_p
_U32 = ctypes.c_uint32
_U64 = ctypes.c_uint64
_BYTES = ctypes.c_char_p
_TERMS_OF_OFFER = 12


class _OrderInput(ctypes.Structure):
    _fields_ = (("count", _U32), ("vendors", _U32), ("terms", _POINTER), ("quality", _POINTER),
                ("cost", _POINTER), ("priority", _POINTER))  # fmt: skip


class _CellInput(ctypes.Structure):
    _fields_ = (("count", _U32), ("vendors", _U32), ("customer", _POINTER), ("lists", _POINTER),
                ("offers", _POINTER), ("zone", _POINTER), ("guards", _POINTER), ("check_rate", _BYTES),
                ("most", _POINTER), ("column", _POINTER), ("ceiling", _POINTER), ("blocked", _BYTES))  # fmt: skip


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the library with its functions' types set, or None."""
    loaded = lookup_library()
    if loaded is None or not hasattr(loaded, "vos_cells"):
        return None
    for name, result, *arguments in (
        ("vos_keys_merge", _U64, _BYTES, _U64, _BYTES, _U64, _POINTER),
        ("vos_spread", None, _BYTES, _POINTER, _U32, _BYTES, _POINTER, _U32, _POINTER),
        ("vos_interner_new", _POINTER, _U32),
        ("vos_interner_free", None, _POINTER),
        ("vos_interner_count", _U32, _POINTER),
        ("vos_interner_records", _POINTER, _POINTER),
        ("vos_intern", ctypes.c_int, _POINTER, _BYTES, _U32, _POINTER),
        ("vos_orders", ctypes.c_int, _POINTER, _POINTER, _POINTER),
        ("vos_offers", None, _POINTER, _U32, _POINTER, _POINTER, _BYTES, _POINTER),
        ("vos_cells", ctypes.c_int, _POINTER, _POINTER, _POINTER, _POINTER),
        ("vos_runs", _U32, _POINTER, _U32, _POINTER, _POINTER),
        ("vos_mask", None, _POINTER, _POINTER, _U32, _U32),
        ("vos_table_get", None, _POINTER, _POINTER, _U32, _POINTER, _U64, _POINTER),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def bulk(*, native: bool = True) -> Bulk:
    """Return the work in C where it was compiled and is wanted, else in Python."""
    loaded = library() if native else None
    return PlainBulk() if loaded is None else NativeBulk(loaded)


class NativeStore:
    """A store in C."""

    def __init__(self, loaded: ctypes.CDLL, size: int) -> None:
        self._library, self._size = loaded, size
        self.handle = loaded.vos_interner_new(size)
        if not self.handle:
            raise MemoryError

    def __del__(self) -> None:
        self._library.vos_interner_free(self.handle)

    def add(self, records: bytes) -> Column:
        """Return the number of each record."""
        count = len(records) // self._size
        ids = column(count)
        _check(self._library.vos_intern(self.handle, records, count, at(ids)))
        return ids

    def __len__(self) -> int:
        return int(self._library.vos_interner_count(self.handle))

    def records(self) -> bytes:
        """Return all records, in the order of their numbers."""
        size = self._size * len(self)
        return ctypes.string_at(self._library.vos_interner_records(self.handle), size) if size else b""


class NativeBulk:
    """The work on all prefixes, in C."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self._library = loaded

    def merge(self, keys: Sequence[bytes]) -> bytes:
        """Return all packed keys, sorted, each once."""
        merged = b""
        for each in dict.fromkeys(keys):
            if merged:
                out = ctypes.create_string_buffer(len(merged) + len(each))
                count = self._library.vos_keys_merge(merged, len(merged) // KEY, each, len(each) // KEY, out)
                merged = out.raw[: count * KEY]
            else:
                merged = each
        return merged

    def spread(self, keys: bytes, parents: Column, own_keys: bytes, own: Column) -> Column:
        """Return for each key the value at the longest of ``own_keys`` that it begins with, NONE for none."""
        out = column(len(parents))
        self._library.vos_spread(keys, at(parents), len(parents), own_keys, at(own), len(own), at(out))
        return out

    def store(self, size: int) -> Store:
        """Return an empty store of records of so many bytes."""
        return NativeStore(self._library, size)

    def orders(self, order: Order, offers: Store) -> Column:
        """Return for each prefix the number of its list of offers."""
        if not order.terms:
            return array("I")
        assert isinstance(offers, NativeStore)
        lists = column(len(order.terms[0]))
        given = _OrderInput(
            len(lists), len(order.terms), _rows(order.terms),
            _rows(order.quality) if order.quality else None, at(order.cost), at(order.priority),
        )  # fmt: skip
        _check(self._library.vos_orders(ctypes.byref(given), offers.handle, at(lists)))
        return lists

    def offers(self, store: Store, vendors: int, ranks: Ranks) -> Offers:
        """Return the lists of a store of offers, with what each is compared by."""
        if not vendors:
            return PlainOffers(b"", 0, ranks)
        assert isinstance(store, NativeStore)
        return NativeOffers(self._library, store, vendors, ranks)

    def runs(self, values: Column) -> tuple[Column, Column]:
        """Return where runs of equal values begin, and the values."""
        starts, kept = column(len(values)), column(len(values))
        count = self._library.vos_runs(at(values), len(values), at(starts), at(kept))
        return starts[:count], kept[:count]

    def mask(self, values: Column, base: Column) -> Column:
        """Return the values, SAME where they are as in ``base``."""
        out = values[:]
        self._library.vos_mask(at(out), at(base), len(out), SAME)
        return out


class NativeOffers:
    """Lists of offers in C."""

    def __init__(self, loaded: ctypes.CDLL, store: NativeStore, vendors: int, ranks: Ranks) -> None:
        self._library, self._blocked = loaded, ranks.blocked
        self._terms = bytearray(_TERMS_OF_OFFER * vendors * len(store))
        self._at = (ctypes.c_char * len(self._terms)).from_buffer(self._terms) if self._terms else None
        loaded.vos_offers(store.handle, vendors, at(ranks.rate), at(ranks.dearest), ranks.blocked, self._at)

    def cells(self, customer: Column, lists: Column, locks: Locks, reasons: Store, cells: Store) -> Column:
        """Return for each prefix the number of its cell."""
        assert isinstance(reasons, NativeStore)
        assert isinstance(cells, NativeStore)
        out = column(len(customer))
        given = _CellInput(
            len(customer), locks.vendors, at(customer), at(lists),
            ctypes.cast(self._at, ctypes.c_void_p) if self._at else None,
            at(locks.zone) if locks.zone else None, at(locks.guards), locks.check_rate, at(locks.most),
            at(locks.column), _rows(locks.ceiling), self._blocked,
        )  # fmt: skip
        _check(self._library.vos_cells(ctypes.byref(given), reasons.handle, cells.handle, at(out)))
        return out


def column(count: int) -> Column:
    """Return a column of zeros."""
    return array("I", bytes(4 * count))


def at(numbers: Column) -> Any:
    """Return where a column's numbers are."""
    return ctypes.c_void_p(numbers.buffer_info()[0])


def _rows(columns: Sequence[Column]) -> Any:
    pointers = (ctypes.c_void_p * len(columns))(*(each.buffer_info()[0] for each in columns))
    return ctypes.cast(pointers, ctypes.c_void_p)


def _check(result: int) -> None:
    if result == -1:
        raise MemoryError
    if result:
        raise VosctlError("a node routes to more than 4096 vendors", hint="give some of them to other nodes")
