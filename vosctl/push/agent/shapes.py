"""Rules that differ only in values which every kernel takes and shows as they were written.

Whoever loaded ``--dport 5060`` needs no trial of ``--dport 5080``, and knows how the kernel will show it. A value that
iptables could refuse, or show in other words, is no such value: it stays in the rule's shape.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match

# Other quoted words are passed over whole: what looks like an option in them is none.
_VALUE = re.compile(
    r' (-s|-d|--sport|--dport|--string|--hex-string|--comment) ("[^"\\]*"|[^ "]+)|"(?:[^"\\]|\\.)*"'
)
_MOST_PATTERN = 127  # of hex iptables takes no more, though the kernel would (XT_STRING_MAX_PATTERN_SIZE)
_MOST_COMMENT = 255  # XT_MAX_COMMENT_LEN, its end not counted
# iptables puts words of these alone into no quotes, a backslash before an apostrophe (xtables_save_string).
_BARE = re.compile(r"[\w-]*", re.ASCII)


def loaded(rule: str) -> str:
    """Return the shape of a rule that the kernel holds as it is written: the rule without such values."""
    return _VALUE.sub(_without, rule)


def wanted(rule: str) -> str:
    """Return the shape of a rule that is yet to be loaded; values that iptables might not take as they are stay."""
    return _VALUE.sub(lambda found: _without(found) if _is_free(found) else found[0], rule)


def _without(found: Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return f" {found[1]} {6 if ':' in found[2] else 4}" if found[1] in ("-s", "-d") else f" {found[1]}"


def _is_free(found: Match[str]) -> bool:
    return found[1] is not None and _FREE[found[1]](found[2])


def _address(value: str) -> bool:
    """Return whether iptables shows a network in these very words: with a length, host bits zero."""
    import _socket  # noqa: PLC0415  a fraction of what importing socket costs

    address, _, length = value.partition("/")
    family, bits = (10, 128) if ":" in address else (2, 32)  # AF_INET6, AF_INET
    try:
        packed = _socket.inet_pton(family, address)
    except OSError:
        return False
    if _socket.inet_ntop(family, packed) != address or not _number(length, bits):
        return False
    return int.from_bytes(packed, "big") & ((1 << bits - int(length)) - 1) == 0


def _number(value: str, most: int) -> bool:
    return value.isdecimal() and value.isascii() and value[0] != "0" and int(value) <= most


def _quoted(value: str, most: int) -> bool:
    inside = value[1:-1]
    return value[0] == '"' and 0 < len(inside) <= most and inside.isascii() and inside.isprintable()


def _pattern(value: str) -> bool:
    # One with a bar may be shown as --hex-string.
    return _quoted(value, _MOST_PATTERN) and "|" not in value


def _hex_pattern(value: str) -> bool:
    """Return whether it is hex alone, and of bytes that iptables shows as hex again: one of them is not printable."""
    try:
        data = bytes.fromhex(value[2:-2])
    except ValueError:
        return False
    shown = f'"|{data.hex()}|"' == value
    return shown and 0 < len(data) <= _MOST_PATTERN and not all(32 <= byte < 127 for byte in data)


def _comment(value: str) -> bool:
    return _quoted(value, _MOST_COMMENT) and "'" not in value and not _BARE.fullmatch(value[1:-1])


def _port(value: str) -> bool:
    return _number(value, 65535)


_FREE = {
    "-s": _address,
    "-d": _address,
    "--sport": _port,
    "--dport": _port,
    "--string": _pattern,
    "--hex-string": _hex_pattern,
    "--comment": _comment,
}
