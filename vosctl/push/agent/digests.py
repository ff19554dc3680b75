"""SHA-256 by whichever of two ways costs a node less."""

from __future__ import annotations

import sys

# From so many bytes on OpenSSL's speed is worth the 3 ms that hashlib takes to load it.
MUCH = 512 * 1024
# The interpreter's own, which hashlib falls back to.
_OWN = "_sha256" if sys.version_info < (3, 12) else "_sha2"


def hex_sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes (FIPS 180-4), hex."""
    try:
        library = __import__("hashlib" if len(data) >= MUCH else _OWN)
    except ImportError:
        library = __import__("hashlib")
    return str(library.sha256(data).hexdigest())
