"""What rows charge, as records of a route file: each kept once, and the columns of decks as numbers of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, Inexact
from functools import lru_cache

from vosctl.errors import VosctlError
from vosctl.rates.lookup.keys import KEY, pack, unpack
from vosctl.rates.routing.bulk import Bulk, Column
from vosctl.rates.routing.reader import RATE, UNIT
from vosctl.site.decks import Rate
from vosctl.site.tree import Mark

_PLACES = 8
_EXACT = Context(prec=40, traps=[Inexact])
_WHOLE = Decimal(1)
_BLOCKED = 1
_CURRENCY_AT = RATE.size - 8
_NOWHERE = Mark("", 0, 0)
_MOST = 1 << 62


class PackedRows(Mapping[str, Rate]):
    """Rows of a deck as two strings of bytes, 66 a row: rates are made of them when they are asked for.

    ``keys`` are packed prefixes in order, ``records`` what they charge, with the currency's number 0.
    """

    def __init__(self, keys: bytes, records: bytes, mark: Mark = _NOWHERE) -> None:
        """Take the rows of a whole deck."""
        self.keys_, self.records, self._mark = keys, records, mark

    def __getitem__(self, prefix: str) -> Rate:
        """Return the row of a prefix; raises KeyError."""
        try:
            wanted = pack(prefix)
        except ValueError:
            raise KeyError(prefix) from None
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.keys_[KEY * middle : KEY * middle + KEY] < wanted:
                low = middle + 1
            else:
                high = middle
        if self.keys_[KEY * low : KEY * low + KEY] != wanted:
            raise KeyError(prefix)
        return decoded(self.records[RATE.size * low : RATE.size * low + RATE.size], prefix, self._mark)

    def __iter__(self) -> Iterator[str]:
        """Yield the prefixes in order."""
        return (unpack(self.keys_[at : at + KEY]) for at in range(0, len(self.keys_), KEY))

    def __len__(self) -> int:
        return len(self.keys_) // KEY


class Terms:
    """All that any row charges, numbered as first seen; ``currencies`` with what one unit is in the site's."""

    def __init__(self, bulk: Bulk, currencies: Sequence[tuple[str, Decimal]]) -> None:
        self.currencies = tuple(currencies)
        self._store = bulk.store(RATE.size)

    def column(self, rows: Mapping[str, Rate], currency: tuple[str, Decimal]) -> tuple[bytes, Column]:
        """Return the packed prefixes of rows, in order, and the number of what each charges."""
        own = self.currencies.index(currency)
        if isinstance(rows, PackedRows):
            records = bytearray(rows.records)
            records[_CURRENCY_AT :: RATE.size] = bytes([own & 255]) * len(rows)
            records[_CURRENCY_AT + 1 :: RATE.size] = bytes([own >> 8]) * len(rows)
            return rows.keys_, self._store.add(bytes(records))
        packed, encode = _sorted(rows), _Encoder(own)
        keys = b"".join(key for key, _ in packed)
        return keys, self._store.add(b"".join(encode(row) for _, row in packed))

    def records(self) -> bytes:
        """Return all records."""
        return self._store.records()

    def rates(self) -> list[tuple[Rate, Decimal]]:
        """Return each with what one unit of its currency is in the site's."""
        records = self.records()
        cut = (records[at : at + RATE.size] for at in range(0, len(records), RATE.size))
        return [(decoded(each), self.currencies[RATE.unpack(each)[8]][1]) for each in cut]


def _sorted(rows: Mapping[str, Rate]) -> list[tuple[bytes, Rate]]:
    return sorted(((pack(prefix), row) for prefix, row in rows.items()), key=lambda pair: pair[0])


class _Encoder:
    """Encodes the rows of a deck, equal ones once: a sheet has many prefixes at few prices."""

    def __init__(self, currency: int) -> None:
        self._currency = currency
        self._known: dict[tuple[object, ...], bytes] = {}

    def __call__(self, row: Rate) -> bytes:
        key = (
            row.rate, row.first_rate, row.connect, row.minimum, row.cycle, row.first_seconds, row.grace,
            row.free_seconds, row.blocked,
        )  # fmt: skip
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = encoded(row, self._currency)
        return known


def encoded(row: Rate, currency: int = 0) -> bytes:
    """Return what a row charges as a record; raises VosctlError for an amount that 64 bits of 10^-8 do not hold."""
    try:
        amounts = [units(amount) for amount in (row.rate, row.first_rate, row.connect, row.minimum)]
    except ValueError as error:
        hint = "rates have at most 8 decimals"
        raise VosctlError(f"{row.mark}: prefix {row.prefix or '(all)'}: {error}", hint=hint) from None
    if not row.first_seconds:
        amounts[1] = 0
    return RATE.pack(
        *amounts, row.cycle, row.first_seconds, row.grace, row.free_seconds, currency, _BLOCKED * row.blocked, 0
    )  # fmt: skip


@lru_cache(maxsize=1 << 16)
def units(amount: Decimal) -> int:
    """Return an amount in units of 10^-8; raises ValueError where it is none."""
    try:
        whole = _EXACT.quantize(_EXACT.scaleb(amount, _PLACES), _WHOLE)
    except ArithmeticError:
        raise ValueError(f"{amount} has more than {_PLACES} decimals") from None
    if abs(whole) > _MOST:
        raise ValueError(f"{amount} is too much")
    return int(whole)


def decoded(record: bytes, prefix: str = "", mark: Mark = _NOWHERE) -> Rate:
    """Return the row that a record says."""
    rate, first_rate, connect, minimum, cycle, first, grace, free, _, flags, _ = RATE.unpack(record)
    amounts = (Decimal(units) / UNIT for units in (rate, first_rate, connect, minimum))
    per_minute, first_minute, fee, least = amounts
    return Rate(
        prefix, per_minute, cycle, first_minute, first, fee, mark, least, grace, free, blocked=bool(flags & _BLOCKED)
    )  # fmt: skip
