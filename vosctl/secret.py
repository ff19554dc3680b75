"""A value that must never be shown: keys and passwords travel in this wrapper."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import NoReturn

_PROCESS_KEY = os.urandom(16)


class Secret:
    """Holds a secret string; every way of printing it gives ``<secret>``.

    ``reveal()`` is the only way to the value, so that ``grep reveal`` finds each place where a
    secret leaves its wrapper. Pickling, JSON and formatting are refused or masked.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def fingerprint(self, key: bytes = _PROCESS_KEY) -> str:
        """Return 8 hex digits of HMAC-SHA-256 (RFC 2104) of the value under ``key``.

        Equal secrets have equal fingerprints under one key; without the key nobody can test
        a guess against it. The default key lasts as long as this process.
        """
        return hmac.new(key, self._value.encode(), hashlib.sha256).hexdigest()[:8]

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")
