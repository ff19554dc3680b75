"""Compiled rules as typed conditions and targets: what the restore text says, with nothing lost."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from vosctl.site.model import Network

Span = tuple[int, int]


class End(Enum):
    """Which end of a packet is meant."""

    SOURCE = "source"
    DESTINATION = "destination"
    EITHER = "either"


class AddressIn(Struct, frozen=True):
    """``-s`` or ``-d``: the address is in one of the networks."""

    end: End
    networks: tuple[Network, ...]


class Via(Struct, frozen=True):
    """``-i`` (``outgoing``: ``-o``): the interface; a name that ends in ``+`` stands for all that begin so."""

    name: str
    outgoing: bool


class ProtocolIs(Struct, frozen=True):
    """``-p``: the upper protocol's number, extension headers of IPv6 skipped."""

    number: int


class Fragment(Struct, frozen=True):
    """``-f``: a later fragment."""


class PortIn(Struct, frozen=True):
    """A UDP or TCP port of one end (or of either) is in one of the spans, both ends included."""

    end: End
    spans: tuple[Span, ...]


class FlagsAre(Struct, frozen=True):
    """Of the TCP flags in ``mask`` exactly those in ``value`` are set (bits as in the TCP header, RFC 9293)."""

    mask: int
    value: int


class IcmpIs(Struct, frozen=True):
    """The ICMP type, and the code if it is not None."""

    type: int
    code: int | None


class StateIn(Struct, frozen=True):
    """The connection tracking state is one of these."""

    states: frozenset[str]


class DirectionIs(Struct, frozen=True):
    """The packet goes the way of its connection's first one, or (``original`` False) the other way."""

    original: bool


class MemberOf(Struct, frozen=True):
    """The packet's address (and port) at the named ends is a member of an ipset."""

    name: str
    ends: tuple[str, ...]


class HasText(Struct, frozen=True):
    """``pattern`` in the packet, counted from the IP header, between bytes ``first`` and ``last``."""

    pattern: bytes
    first: int
    last: int
    any_case: bool


class LengthIn(Struct, frozen=True):
    """The whole packet's length in bytes, IP header included."""

    span: Span


class U32Test(Struct, frozen=True):
    """One ``location op number … = spans`` of a u32 match; ``steps`` are (operator, number), the first a location."""

    steps: tuple[tuple[str, int], ...]
    spans: tuple[Span, ...]


class U32(Struct, frozen=True):
    """All tests of one u32 match hold."""

    tests: tuple[U32Test, ...]


class HopsIn(Struct, frozen=True):
    """TTL or hop limit within the span."""

    span: Span


class DscpIs(Struct, frozen=True):
    """The DSCP value, 0 to 63."""

    value: int


class Over(Struct, frozen=True):
    """More packets than ``rate`` a second after ``burst``: of each key of ``name``, or of all where it is empty."""

    name: str
    rate: float
    burst: int
    bits: int
    text: str


class ConnectionsOver(Struct, frozen=True):
    """The source prefix of ``bits`` holds more than ``count`` connections, this one included."""

    count: int
    bits: int


class Unmodelled(Struct, frozen=True):
    """A match that is not modelled: it may hold or not."""

    text: str


Test = (
    AddressIn | Via | ProtocolIs | Fragment | PortIn | FlagsAre | IcmpIs | StateIn | DirectionIs | MemberOf | HasText
    | LengthIn | U32 | HopsIn | DscpIs | Over | ConnectionsOver | Unmodelled
)  # fmt: skip


class Condition(Struct, frozen=True):
    """A test that must hold, or with ``negated`` must not; ``text`` is how the rule spells it."""

    test: Test
    negated: bool
    text: str


class Target(Struct, frozen=True):
    """``-j`` or ``-g`` (``goto``) with its own options; an empty name counts and goes on."""

    name: str
    options: Mapping[str, tuple[str, ...]]
    goto: bool = False


class Rule(Struct, frozen=True, eq=False):
    """One ``-A`` line, the ``number``-th of its chain; ``comment`` is the site's path and the rule's purpose."""

    text: str
    table: str
    chain: str
    number: int
    conditions: tuple[Condition, ...]
    target: Target
    comment: str

    @property
    def path(self) -> str:
        """The path in the site's YAML that made the rule."""
        return self.comment.partition(": ")[0]

    @property
    def purpose(self) -> str:
        """What the rule is for."""
        path, _, purpose = self.comment.partition(": ")
        return purpose or path


Chains = Mapping[tuple[str, str], tuple[Rule, ...]]
"""The rules of each chain, by table and name."""
