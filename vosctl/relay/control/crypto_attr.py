"""``a=vos-crypto``: mode, key id and salt of one direction of one stream, as relays tell each other in SDP.

The attribute says what its sender will send with, as ``a=crypto`` does (RFC 4568 §6.1): the offer's
is for media from the offerer, the answer's for media from the answerer.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, NamedTuple

NAME = "vos-crypto"
NONE = "none"
MODES = (NONE, "xor", "rc4", "aes128")
ZERO_SALT = "00000000"

_KID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_VALUE = re.compile(r"(?P<mode>[a-z0-9]{1,16})((?: [!-~]{1,80}){0,8})")
_SALT = re.compile(r"[0-9A-Fa-f]{8}")


class CryptoError(ValueError):
    """The attribute cannot be read, or says what this relay does not accept."""


class Transform(NamedTuple):
    """What is done to a payload in one direction: mode, key id, salt of 8 hex digits.

    With mode ``srtp``, ``kid`` is the crypto suite and ``key`` its master key and salt in Base64.
    """

    mode: str = NONE
    kid: str = ""
    salt: str = ZERO_SALT
    key: str = ""

    def __repr__(self) -> str:
        return f"Transform({self.mode!r}, {self.kid!r}, {self.salt!r})"

    @property
    def encrypts(self) -> bool:
        """Whether a payload is changed at all."""
        return self.mode != NONE

    def attribute(self) -> str:
        """Return the attribute's value, to be written after ``a=vos-crypto:``."""
        return f"{self.mode} kid={self.kid} salt={self.salt}"

    def as_json(self) -> Dict[str, str]:
        """Return the form that the media process takes."""
        return self._asdict()

    @classmethod
    def from_json(cls, value: Dict[str, Any]) -> Transform:
        """Return the transform that ``as_json`` gave."""
        return cls(value["mode"], value["kid"], value["salt"], value.get("key", ""))


PLAIN = Transform()


def fresh(mode: str, kid: str) -> Transform:
    """Return a transform with a random salt; plain when ``mode`` is ``none``."""
    return PLAIN if mode == NONE else Transform(mode, kid, os.urandom(4).hex())


def is_kid(text: str) -> bool:
    """Tell whether ``text`` can be a key id."""
    return _KID.fullmatch(text) is not None


def parse(value: str) -> Transform:
    """Read an attribute's value; unknown ``name=value`` pairs are skipped. Raises ``CryptoError``."""
    found = _VALUE.fullmatch(value.strip())
    if not found:
        raise CryptoError(f"cannot read `{value[:80]}`")
    pairs = dict(item.partition("=")[::2] for item in found.group(2).split())
    mode = found.group("mode")
    if mode not in MODES:
        raise CryptoError(f"unknown mode `{mode}`")
    if mode == NONE:
        return PLAIN
    kid, salt = pairs.get("kid", ""), pairs.get("salt", ZERO_SALT)
    if not is_kid(kid):
        raise CryptoError("no kid, or not 1 to 32 letters, digits, dots, hyphens and underscores")
    if not _SALT.fullmatch(salt):
        raise CryptoError("the salt is not 8 hex digits")
    return Transform(mode, kid, salt.lower())
