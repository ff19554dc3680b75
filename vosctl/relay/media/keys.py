"""The key table: what a leg's mode, key id and salt stand for."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Dict, List, Mapping

from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.plane import SUITES, Transform

LENGTHS = {"xor": (1, 256), "rc4": (16, 32), "aes128": (16, 16)}
_KID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_VALUE = re.compile(r"[A-Za-z0-9]{1,256}")


class Keys:
    """Keys by id. Replacing the table leaves running legs with the key that they began with."""

    def __init__(self) -> None:
        self._keys: Dict[str, bytes] = {}

    def replace(self, raw: Any) -> None:
        """Take ``{kid: {"value": …}}`` as the whole table; raise RequestError and keep the old one if it is wrong."""
        if not isinstance(raw, Mapping):
            raise RequestError("keys: must be an object of key ids")
        table = {}
        for kid, entry in raw.items():
            value = entry.get("value") if isinstance(entry, Mapping) else None
            if not _KID.fullmatch(kid):
                raise RequestError(f"keys: {kid!r} is no key id (1 to 32 of A-Z a-z 0-9 . _ -)")
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                raise RequestError(f"keys: the value of {kid!r} must be 1 to 256 ASCII letters and digits")
            table[kid] = value.encode("ascii")
        self._keys = table

    def names(self) -> List[str]:
        """Return the ids, sorted."""
        return sorted(self._keys)

    def transform(self, mode: str, kid: str, salt: bytes, inline: str = "") -> Transform:
        """Return the transform of a leg's direction; SRTP's key is ``inline``, in Base64.

        Raises RequestError for a key that is unknown or does not fit.
        """
        if mode == "none":
            return Transform.of("none", b"", bytes(4))
        if mode == "srtp":
            return Transform.of(kid, _master(kid, inline), bytes(4))
        if kid not in self._keys:
            raise RequestError(f"unknown key {kid!r}")
        low, high = LENGTHS[mode]
        key = self._keys[kid]
        if not low <= len(key) <= high:
            wanted = f"exactly {low}" if low == high else f"{low} to {high}"
            raise RequestError(f"key {kid!r} has {len(key)} characters; {mode} needs {wanted}")
        return Transform.of(mode, key, salt)


def _master(suite: str, inline: str) -> bytes:
    """Return an SRTP master key and salt; their length is the suite's (RFC 4568 §6.2, RFC 7714 §14.2)."""
    try:
        key = base64.b64decode(inline, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"{suite}: the key is not Base64") from None
    if len(key) != SUITES[suite]:
        raise RequestError(f"{suite}: the key has {len(key)} bytes, not {SUITES[suite]}")
    return key
