"""The five primitives of the vault, all of them ``cryptography``'s: AES-GCM, HKDF, HMAC, X25519 and scrypt."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct

KEY = 32
NONCE = 12
SALT = 16
_LABEL = b"vosctl-vault 1 "
_MOST_MEMORY = 256 * 2**20
_MOST_WORK = 2**24  # n * r * p: about ten seconds


def seal(key: bytes, plaintext: bytes, about: bytes) -> bytes:
    """Return nonce (12), ciphertext and tag (16) of AES-256-GCM (NIST SP 800-38D) with associated data ``about``."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, about)


def unseal(key: bytes, sealed: bytes, about: bytes) -> bytes | None:
    """Return the plaintext, or None where key, data or ``about`` are not those it was sealed with."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], about)
    except (InvalidTag, ValueError):
        return None


def derive(key: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """Return 32 bytes of HKDF-SHA-256 (RFC 5869) for one purpose."""
    return HKDF(SHA256(), KEY, salt or None, _LABEL + purpose.encode()).derive(key)


def authenticate(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104)."""
    return hmac.new(key, data, hashlib.sha256).digest()


def public_of(private: bytes) -> bytes:
    """Return the X25519 public key (RFC 7748) of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def wrap(data_key: bytes, public: bytes, about: bytes) -> bytes:
    """Return ``data_key`` for the owner of ``public``: an ephemeral public key (32), then what ``seal`` gives."""
    private = os.urandom(KEY)
    ephemeral = public_of(private)
    return ephemeral + seal(_shared(private, public, ephemeral + public), data_key, about)


def unwrap(wrapped: bytes, private: bytes, about: bytes) -> bytes | None:
    """Return the data key, or None where it was wrapped for somebody else or altered."""
    ephemeral = wrapped[:KEY]
    try:
        key = _shared(private, ephemeral, ephemeral + public_of(private))
    except ValueError:  # short, or a point that gives nothing secret
        return None
    return unseal(key, wrapped[KEY:], about)


def _shared(private: bytes, public: bytes, both: bytes) -> bytes:
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return derive(shared, "wrap", both)


class Cost(Struct, frozen=True):
    """scrypt's parameters (RFC 7914 §2): 128 * n * r bytes of memory."""

    n: int = 2**17
    r: int = 8
    p: int = 1

    def is_bearable(self) -> bool:
        """Whether a header may ask for this: at most 256 MiB and about ten seconds."""
        shape = 1 < self.n <= 2**24 and not self.n & (self.n - 1) and 0 < self.r <= 64 and 0 < self.p <= 64
        memory = 128 * self.r * (self.n + self.p + 2)
        return shape and memory <= _MOST_MEMORY and self.n * self.r * self.p <= _MOST_WORK


def stretch(password: str, salt: bytes, cost: Cost) -> bytes:
    """Return 32 bytes of scrypt; ``cost`` must be bearable."""
    assert cost.is_bearable()
    return Scrypt(salt, KEY, cost.n, cost.r, cost.p).derive(password.encode())
