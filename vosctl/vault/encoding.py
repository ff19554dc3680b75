"""Bytes as text: base64url without padding (RFC 4648 §5), strict, and with a prefix and a checksum for people."""

from __future__ import annotations

import base64
import binascii
import hashlib

_CHECKSUM = 4


def to_text(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def to_bytes(text: str) -> bytes | None:
    """Return the bytes, or None where ``text`` is not exactly what ``to_text`` writes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if to_text(data) == text else None


def checked(prefix: str, data: bytes) -> str:
    """Return ``prefix`` and the data with a checksum: the first 4 bytes of SHA-256 over both."""
    return prefix + to_text(data + _checksum(prefix, data))


def unchecked(prefix: str, text: str) -> bytes | None:
    """Return the data of what ``checked`` wrote, or None where prefix or checksum do not fit."""
    data = to_bytes(text.removeprefix(prefix)) if text.startswith(prefix) else None
    if data is None or data[-_CHECKSUM:] != _checksum(prefix, data[:-_CHECKSUM]):
        return None
    return data[:-_CHECKSUM]


def _checksum(prefix: str, data: bytes) -> bytes:
    return hashlib.sha256(prefix.encode() + data).digest()[:_CHECKSUM]
