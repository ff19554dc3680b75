"""A set of prefixes to look numbers up in: C where it was compiled, the same answers from Python where it was not."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence

from vosctl.rates.lookup.keys import KEY, NONE, digits, pack, unpack
from vosctl.rates.lookup.native import BUCKETS, library

_WORD = 4


class Prefixes:
    """Distinct prefixes in order of their digits; a lookup gives indices into that order, ``NONE`` for no prefix.

    The whole table is 14 bytes a prefix: a key of ten (``keys``) and the index of the next shorter prefix.
    """

    def __init__(
        self, prefixes: Iterable[str] = (), *, keys: bytes | None = None, native: bool = True
    ) -> None:
        """Take prefixes in any order, or the packed ``keys`` of a table; raises ValueError where those are not in order."""
        if keys is None:
            keys = b"".join(sorted({pack(prefix) for prefix in prefixes}))
        if len(keys) % KEY:
            raise ValueError(f"{len(keys)} bytes are no keys of {KEY} bytes")
        self.keys = keys
        self._count = len(keys) // KEY
        self._library = library() if native else None
        self._by_length: list[tuple[int, dict[str, int]]] | None = None
        self._parents = array("I", bytes(_WORD * self._count))
        self._start = array("I", bytes(_WORD * BUCKETS)) if self._library else array("I")
        wrong = self._index() if self._library else self._index_slowly()
        if wrong:
            raise ValueError(f"key {wrong - 1} is not above the one before it")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:
        """Return the prefix at an index."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        return unpack(self.keys[KEY * index : KEY * index + KEY])

    @property
    def parents(self) -> bytes:
        """The index of each prefix's longest proper prefix (``NONE``: none), 32 bits each in the machine's order."""
        return self._parents.tobytes()

    def find(self, numbers: Sequence[str]) -> array[int]:
        """Return the index of the longest prefix of each number.

        A leading + is passed over; a number ends at its first character that is no digit, and 20 digits count.
        """
        if self._library is None:
            return array("I", map(self._find_slowly, numbers))
        text = "\n".join(numbers)
        if text.count("\n") >= max(len(numbers), 1):  # a line break inside one would shift all behind it
            text = "\n".join(map(digits, numbers))
        return self.find_lines(text.encode(errors="replace"), len(numbers))

    def find_lines(self, text: bytes, count: int) -> array[int]:
        """Return the same for ``count`` numbers in lines: the fastest way, for columns that are bytes already."""
        found = array("I", bytes(_WORD * count))
        if self._library is None:
            lines = text.split(b"\n")
            return array("I", (self._find_slowly(line.decode(errors="replace")) for line in lines[:count]))
        self._library.vos_lpm_find(
            self.keys, _at(self._parents), _at(self._start), text, len(text), count, _at(found)
        )
        return found

    def find_keys(self, keys: bytes) -> array[int]:
        """Return the index of the longest prefix of each packed key, as those of another table."""
        count = len(keys) // KEY
        if self._library is None:
            cut = (keys[KEY * at : KEY * at + KEY] for at in range(count))
            return array("I", (self._find_slowly(unpack(key)) for key in cut))
        found = array("I", bytes(_WORD * count))
        self._library.vos_lpm_find_keys(
            self.keys, _at(self._parents), _at(self._start), keys, count, _at(found)
        )
        return found

    def _index(self) -> int:
        assert self._library is not None
        wrong: int = self._library.vos_lpm_parents(self.keys, self._count, _at(self._parents))
        self._library.vos_lpm_buckets(self.keys, self._count, _at(self._start))
        return wrong

    def _index_slowly(self) -> int:
        before = ""
        above: list[int] = []
        for at in range(self._count):
            own = self[at]
            if at and self.keys[KEY * at - KEY : KEY * at] >= self.keys[KEY * at : KEY * at + KEY]:
                return at + 1
            while above and not own.startswith(before):
                above.pop()
                before = self[above[-1]] if above else ""
            self._parents[at] = above[-1] if above else NONE
            above.append(at)
            before = own
        return 0

    def _find_slowly(self, number: str) -> int:
        if self._by_length is None:
            lengths: dict[int, dict[str, int]] = {}
            for at in range(self._count):
                prefix = self[at]
                lengths.setdefault(len(prefix), {})[prefix] = at
            self._by_length = sorted(lengths.items(), reverse=True)
        own = digits(number)
        for length, table in self._by_length:
            if len(own) >= length and (index := table.get(own[:length])) is not None:
                return index
        return NONE


def _at(numbers: array[int]) -> ctypes.c_void_p:
    return ctypes.c_void_p(numbers.buffer_info()[0])
