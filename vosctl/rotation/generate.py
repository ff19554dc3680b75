"""New keys and their names, from the system's source of randomness."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection
from datetime import datetime

from vosctl.errors import UsageError
from vosctl.secret import Secret
from vosctl.site.model import Encryption

# Letters and digits only: other characters are escaped differently by the two ends (docs/wire-format.md).
_ALPHABET = string.ascii_letters + string.digits
# aes128 takes exactly 16 characters, 95 bits; the others take more, and 32 are 190 bits.
LENGTHS = {Encryption.XOR: 32, Encryption.RC4: 32, Encryption.AES128: 16}
_MOST_NAME = 32


def new_key(mode: Encryption) -> Secret:
    """Return a random key of the length and alphabet that ``mode`` takes; raise UsageError for a mode without keys."""
    if mode not in LENGTHS:
        raise UsageError(
            f"{mode.value} has no keys of ours to make", hint=f"modes with keys: {', '.join(_names())}"
        )
    return Secret("".join(secrets.choice(_ALPHABET) for _ in range(LENGTHS[mode])))


def new_name(trunk: str, moment: datetime, taken: Collection[str]) -> str:
    """Return a key id that is not ``taken``: the trunk's name and the moment in UTC, at most 32 characters.

    Never an earlier one again: a peer that still holds another key under that name would decrypt to noise.
    """
    stamp = moment.strftime("%Y%m%d-%H%M%S")
    for number in range(1, 100):
        tail = f"-{stamp}" + (f"-{number}" if number > 1 else "")
        name = trunk[: _MOST_NAME - len(tail)].rstrip("-._") + tail
        if name not in taken:
            return name
    raise UsageError(f"no name is left for a new key of trunk {trunk}")


def _names() -> list[str]:
    return [mode.value for mode in LENGTHS]
