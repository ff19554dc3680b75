"""The decks of one side of calls, ready to find the rows of millions: keys for the lookup, terms for the sums."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Struct

from vosctl.rates.engine.factors import NO_FACTOR, Factor, factors
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.sections import turns
from vosctl.rates.lookup.keys import NONE, pack
from vosctl.rates.lookup.native import BUCKETS, library
from vosctl.rates.tables import deck_table
from vosctl.site.decks import Deck, Rate

EVER, NEVER = -(2**63), 2**63 - 1
TERM_FIELDS = ("rate", "first_rate", "connect", "minimum", "cycle", "first_seconds", "grace", "free_seconds",
               "blocked")  # fmt: skip
# What a call without a row has in place of one: numbers below those of the terms.
TERM_NO_DECK, TERM_NO_RATE, FIRST_TERM = 0, 1, 2
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_VARIANT = (("from", "<i8"), ("until", "<i8"), ("row", "<u4"), ("section", "<u4"))


class _Deck(ctypes.Structure):
    _fields_ = (("keys", ctypes.c_void_p), ("parent", ctypes.c_void_p), ("start", ctypes.c_void_p),
                ("first", ctypes.c_void_p), ("variants", ctypes.c_void_p), ("turns", ctypes.c_void_p),
                ("sections", ctypes.c_void_p), ("turn_count", ctypes.c_uint32),
                ("base", ctypes.c_uint32))  # fmt: skip


class Span(Struct, frozen=True):
    """The time that calls lie in: both ends aware and included; calendars are worked out for it."""

    first: datetime
    last: datetime


class Tariff:
    """Decks with all their rows numbered, by deck, then prefix, then the order in which they count."""

    def __init__(
        self, decks: Sequence[Deck], worth: Callable[[Deck], Decimal], span: Span, *, native: bool = True
    ) -> None:
        """Take decks of distinct names; ``worth`` as ``Rates.worth``. VosctlError where amounts do not fit bulk."""
        self._np = needed("numpy")
        self.numbers = {deck.name: number for number, deck in enumerate(decks)}
        self.factors: list[Factor] = [NO_FACTOR]
        self.first_factor: list[int] = []
        self.tiers = [deck.tiers for deck in decks]
        self.decks = decks
        self._rows: list[Rate] = []
        self._kept: list[Any] = []
        self._library = _library() if native else None
        self._structs = (_Deck * max(len(decks), 1))()
        parts: list[Any] = []
        for number, deck in enumerate(decks):
            self.first_factor.append(len(self.factors))
            self.factors.extend(factors(deck, worth(deck)))
            parts.append(self._deck(number, deck, span))
        self._join(parts)

    def _deck(self, number: int, deck: Deck, span: Span) -> tuple[Any, Any]:
        """Return a deck's terms and which row has which, its rows numbered and given to the lookup."""
        np = self._np
        rows = list(reversed(deck.every))  # of equal ones the last counts
        rows.sort(key=lambda row: row.rank, reverse=True)
        keys = [pack(row.prefix) for row in rows]
        order = sorted(
            range(len(rows)), key=keys.__getitem__
        )  # stable: the row that counts first stays first
        rows = [rows[at] for at in order]
        base = len(self._rows)
        self._rows.extend(rows)
        if self._library is not None:
            self._structs[number] = self._struct(deck, rows, [keys[at] for at in order], span, base)
        table = deck_table([Deck(deck.name, {}, deck.mark, entries=tuple(rows))])
        fields = np.empty((len(rows), len(TERM_FIELDS) + 1), dtype=np.int64)
        for at, name in enumerate(TERM_FIELDS):
            fields[:, at] = table[name].cast("int64").to_numpy()
        fields[:, -1] = number
        if not rows:
            return fields, np.empty(0, dtype=np.int32)
        terms, which = np.unique(fields, axis=0, return_inverse=True)
        return terms, which.reshape(-1).astype(np.int32)

    def _struct(self, deck: Deck, rows: list[Rate], keys: list[bytes], span: Span, base: int) -> _Deck:
        np = self._np
        distinct = b"".join(dict.fromkeys(keys))
        count = len(distinct) // len(keys[0]) if keys else 0
        parents, start = np.zeros(max(count, 1), np.uint32), np.zeros(BUCKETS, np.uint32)
        assert self._library is not None
        self._library.vos_lpm_parents(distinct, count, parents.ctypes.data)
        self._library.vos_lpm_buckets(distinct, count, start.ctypes.data)
        held = np.frombuffer(distinct or b"\0", dtype=np.uint8)
        own = _Deck(keys=held.ctypes.data, parent=parents.ctypes.data, start=start.ctypes.data, base=base)
        self._kept += [held, parents, start]
        if any(row.valid_from or row.valid_until or row.section for row in rows) or count != len(rows):
            self._vary(own, deck, rows, keys, span)
        return own

    def _vary(self, own: _Deck, deck: Deck, rows: list[Rate], keys: list[bytes], span: Span) -> None:
        """Fill in when rows hold: only decks with such rows pay for the question."""
        np = self._np
        numbers = {
            name: at for at, name in enumerate(deck.calendar.sections if deck.calendar else (), start=1)
        }
        variants = np.zeros(len(rows), dtype=list(_VARIANT))
        lost = len(numbers) + 1  # a section that the calendar lacks never is
        for at, row in enumerate(rows):
            variants[at] = (
                EVER if row.valid_from is None else microseconds(row.valid_from),
                NEVER if row.valid_until is None else microseconds(row.valid_until),
                at,
                numbers.get(row.section, lost) if row.section else 0,
            )
        starts = [at for at, key in enumerate(keys) if not at or keys[at - 1] != key]
        first = np.array([*starts, len(rows)], dtype=np.uint32)
        changes = turns(deck.calendar, span.first, span.last) if deck.calendar else []
        moments = np.array([microseconds(moment) for moment, _ in changes] or [0], dtype=np.int64)
        sections = np.array([numbers.get(name, 0) for _, name in changes] or [0], dtype=np.uint32)
        own.first, own.variants = first.ctypes.data, variants.ctypes.data
        own.turns, own.sections, own.turn_count = moments.ctypes.data, sections.ctypes.data, len(changes)
        self._kept += [variants, first, moments, sections]

    def _join(self, parts: list[tuple[Any, Any]]) -> None:
        np = self._np
        terms, which, base = [], [np.empty(0, np.int32)], FIRST_TERM
        for own, numbers in parts:
            terms.append(own)
            which.append(numbers + np.int32(base))
            base += len(own)
        self.terms = np.concatenate(terms) if terms else np.empty((0, len(TERM_FIELDS) + 1), np.int64)
        # One entry more, for calls without a row: its number is NONE, which is cut down to the last.
        ends = [np.array([TERM_NO_RATE], np.int32)]
        self._term_of = np.concatenate([*which, *ends])
        self._length_of = np.array([*(len(row.prefix) for row in self._rows), 0], np.uint8)
        names: dict[str, int] = {"": 0}
        codes = [names.setdefault(row.destination, len(names)) for row in self._rows]
        self.destinations = needed("pyarrow").array(list(names), needed("pyarrow").string())
        self._factor_of = np.array([*self.first_factor, 0], np.int32)
        self._destination_of = np.array([*codes, 0], np.int32)

    def find(self, deck_of: Any, moments: Any, numbers: Any) -> Any:
        """Return each call's row, the number behind the last for none.

        ``deck_of`` are decks' numbers (uint32, ``NONE``: none), ``moments`` microseconds (int64), both numpy;
        ``numbers`` an Arrow string array of digits.
        """
        np = self._np
        rows = np.empty(len(deck_of), np.uint32)
        if self._library is None:
            rows[:] = self._find_slowly(deck_of, moments, numbers)
        else:
            _, ends, text = numbers.buffers()
            address = text.address if text is not None else 0
            self._library.vos_rows_find(
                self._structs, len(self.decks), deck_of.ctypes.data, moments.ctypes.data, address,
                ends.address + 4 * numbers.offset, len(deck_of), rows.ctypes.data,
            )  # fmt: skip
        return np.minimum(rows, np.uint32(len(self._rows)))

    def terms_of(self, rows: Any, deck_of: Any) -> Any:
        """Return the number of each row's terms (int32), ``TERM_NO_RATE`` and ``TERM_NO_DECK`` for what has none."""
        return self._np.where(deck_of == NONE, TERM_NO_DECK, self._term_of[rows]).astype(self._np.int32)

    def lengths_of(self, rows: Any) -> Any:
        """Return the digits of each row's prefix (uint8)."""
        return self._length_of[rows]

    def destinations_of(self, rows: Any) -> Any:
        """Return each row's number in ``destinations`` (int32)."""
        return self._destination_of[rows]

    def factors_of(self, deck_of: Any) -> Any:
        """Return the number of each deck's first factor (int32), 0 for ``NONE``."""
        return self._factor_of[self._np.minimum(deck_of, len(self.decks))]

    def _find_slowly(self, deck_of: Any, moments: Any, numbers: Any) -> list[int]:
        numbered = {id(row): at for at, row in enumerate(self._rows)}
        found = []
        for number, moment, digits in zip(
            deck_of.tolist(), moments.tolist(), numbers.to_pylist(), strict=True
        ):
            row = None
            if number != NONE:
                row = self.decks[number].find(digits or "", moment_of(moment))
            found.append(NONE if row is None else numbered[id(row)])
        return found


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """Return the C lookup with the types of its search for rows set (``lookup/native/rows.c``), None without it."""
    loaded = library()
    if loaded is None or not hasattr(loaded, "vos_rows_find"):
        return None
    pointer = ctypes.c_void_p
    loaded.vos_rows_find.argtypes = (pointer, ctypes.c_uint32, *[pointer] * 4, ctypes.c_uint64, pointer)
    loaded.vos_rows_find.restype = None
    return loaded


def microseconds(moment: datetime) -> int:
    """Return an aware moment as whole microseconds since 1970."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(microseconds: int) -> datetime:
    """Return the moment, UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest)
