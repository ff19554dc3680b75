"""Packets to be tried against a node's compiled filter, as a site's tests and ``vosctl trace`` name them."""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from vosctl.site.tree import Mark

_RATE = re.compile(r"([0-9]{1,9})(?:/(s|sec|m|min|h|hour))?")
_UNITS = {None: 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600}
_ESCAPE = re.compile(r"\\(r|n|t|0|\\|x[0-9a-fA-F]{2})")
_ESCAPED = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_HEX = "hex:"


class Expectation(Enum):
    """What should become of a packet; ``return``: own rules leave it to the host's."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"


class Probe(Struct, frozen=True):
    """A packet from ``source`` (every address of it) to ``destination`` (None: the node's own address).

    ``protocol`` is udp, tcp or icmp (of either family); ``icmp_type`` None is a ping. ``rate`` is how
    many of these the source sends a second, 0: this one only; ``connections`` how many it holds, this
    one included. ``state`` is conntrack's word in small letters. ``expect`` None: nothing is expected.
    """

    name: str
    source: IPv4Network | IPv6Network
    mark: Mark
    destination: IPv4Address | IPv6Address | None = None
    protocol: str = "udp"
    sport: int | None = None
    dport: int | None = None
    icmp_type: int | None = None
    payload: bytes = b""
    state: str = "new"
    rate: float = 0
    connections: int = 1
    interface: str | None = None
    expect: Expectation | None = None


PROTOCOLS = ("udp", "tcp", "icmp")
STATES = ("new", "established", "related", "invalid", "untracked")


def parse_rate(text: str) -> float:
    r"""Return packets a second of ``30``, ``30/s``, ``90/m`` or ``5/h``; raise ValueError for anything else."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no rate")
    return int(found[1]) / _UNITS[found[2]]


def parse_payload(text: str) -> bytes:
    r"""Return the bytes of ``hex:0d0a`` or of a text, in which ``\r``, ``\n``, ``\t``, ``\0`` and ``\x00`` are understood.

    Raises ValueError where the digits are no bytes.
    """
    if text.startswith(_HEX):
        return bytes.fromhex(text.removeprefix(_HEX))
    parts = _ESCAPE.split(text)
    return b"".join(part.encode() if index % 2 == 0 else _escaped(part) for index, part in enumerate(parts))


def _escaped(code: str) -> bytes:
    return bytes([int(code[1:], 16)]) if code.startswith("x") else _ESCAPED[code].encode()
