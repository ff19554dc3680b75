"""Keys of prefixes: ten bytes that sort as the digits do, so that tables can be searched by halving."""

from __future__ import annotations

KEY = 10
DIGITS = 2 * KEY
NONE = 0xFFFFFFFF
# The n-th hex digit of a key is the n-th digit plus one; 0 is behind the last.
_HEX = str.maketrans("0123456789", "123456789a")
_TEXT = str.maketrans("123456789a", "0123456789")


def pack(prefix: str) -> bytes:
    """Return the key of 0 to 20 digits; raises ValueError for anything else."""
    if len(prefix) > DIGITS or (prefix and not (prefix.isascii() and prefix.isdigit())):
        raise ValueError(f"'{prefix}' is no prefix: 0 to {DIGITS} digits")
    return bytes.fromhex(prefix.translate(_HEX).ljust(DIGITS, "0"))


def unpack(key: bytes) -> str:
    """Return the digits of a key."""
    return key.hex().rstrip("0").translate(_TEXT)


def digits(number: str) -> str:
    """Return what counts of a number as people write it: a leading + is passed over, the first other sign ends it."""
    start = 1 if number.startswith("+") else 0
    end = start
    while end < len(number) and "0" <= number[end] <= "9":
        end += 1
    return number[start:end]
