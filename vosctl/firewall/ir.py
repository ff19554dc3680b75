"""The packet filter as typed data: rules of matches and a target, in chains; text exists only in ``emit``."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from vosctl.site.model import Network, PortRange


class Verdict(Enum):
    """Targets that end the walk through a chain."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    RETURN = "RETURN"


class Side(Enum):
    """Which of a packet's two ports is meant."""

    SOURCE = "source"
    DESTINATION = "destination"
    EITHER = "either"


class Algorithm(Enum):
    """How text is searched.

    Boyer-Moore skips through long texts but misses what lies across the fragments of a packet;
    Knuth-Morris-Pratt reads every byte and misses nothing.
    """

    BOYER_MOORE = "bm"
    KNUTH_MORRIS_PRATT = "kmp"


class Jump(Struct, frozen=True):
    """Goes on in an own chain and comes back at its end."""

    chain: str


class NoTrack(Struct, frozen=True):
    """Keeps the packet out of connection tracking."""


class SetDscp(Struct, frozen=True):
    """Writes a DSCP value, 0 to 63 (RFC 2474)."""

    value: int


class Log(Struct, frozen=True):
    """Reports the packet and goes on: to netlink listeners of ``group``, or to the kernel's log where it is None."""

    prefix: str
    group: int | None


class AddToSet(Struct, frozen=True):
    """Puts the packet's source into a set for ``timeout`` seconds and goes on; a member's time begins again.

    ``answered``: the destination address with protocol and port instead, for packets that leave.
    """

    name: str
    timeout: int
    answered: bool = False


class Ports(Struct, frozen=True):
    """Any of the ports; 15 at the most, a range counts twice."""

    side: Side
    ranges: tuple[PortRange, ...]


class InSet(Struct, frozen=True):
    """The packet's source address (``with_port``: address, protocol and source port) is a member, or is not."""

    name: str
    with_port: bool = False
    negated: bool = False


class Text(Struct, frozen=True):
    """``text`` begins at byte ``first`` of the packet or later and ends at byte ``last`` or earlier.

    Bytes count from the IP header. Kernels before 6.6 let it end up to its own length later.
    """

    text: str
    first: int
    last: int
    any_case: bool
    algorithm: Algorithm


class Above(Struct, frozen=True):
    """More packets than ``rate`` a second after ``burst``, counted for each source prefix of ``prefix`` bits.

    ``name`` is the kernel's table, which keeps its parameters as long as any rule uses it: other
    parameters need another name. A full table (``entries``) drops every new source, whatever the
    rule says; an entry is forgotten after ``expire`` milliseconds without a packet.
    """

    name: str
    rate: int
    burst: int
    prefix: int
    buckets: int
    entries: int
    expire: int


class ConnectionsAbove(Struct, frozen=True):
    """The source prefix of ``prefix`` bits holds more than ``count`` tracked connections."""

    count: int
    prefix: int


class State(Struct, frozen=True):
    """The connection tracking state is one of these (``NEW``, ``RELATED``, ``ESTABLISHED``, ``INVALID``).

    ``original``: and the packet goes the way of the connection's first one.
    """

    states: tuple[str, ...]
    original: bool = False


class Limit(Struct, frozen=True):
    """No more than ``rate`` packets a minute after ``burst``, all sources together; ``rate`` below 60, ``burst`` not 5."""

    rate: int
    burst: int


class Flags(Struct, frozen=True):
    """Of the TCP flags ``examined``, exactly those in ``present`` are set (``FIN``, ``SYN``, ``RST``, ``PSH``, ``ACK``)."""

    examined: tuple[str, ...]
    present: tuple[str, ...]


class NotSyn(Struct, frozen=True):
    """A TCP segment that does not open a connection."""


class Longer(Struct, frozen=True):
    """The whole packet, IP header included, has more than ``size`` bytes."""

    size: int


class ExtraHeaders(Struct, frozen=True):
    """IPv4 options, or an IPv6 extension header: they move the payload away from where it is searched."""


class LeadingBlank(Struct, frozen=True):
    """The UDP payload begins with white space (no options or extension headers before it)."""


class IcmpType(Struct, frozen=True):
    """An ICMP (RFC 792) or ICMPv6 (RFC 4443) type."""

    number: int


class HopLimit(Struct, frozen=True):
    """The IPv6 hop limit is exactly this: 255 proves a neighbour (RFC 4861)."""

    value: int


class Dscp(Struct, frozen=True):
    """The packet's DSCP is exactly this."""

    value: int


Target = Verdict | Jump | NoTrack | SetDscp | Log | AddToSet
Match = (
    Ports
    | InSet
    | Text
    | Above
    | ConnectionsAbove
    | State
    | Limit
    | Flags
    | NotSyn
    | Longer
    | ExtraHeaders
    | LeadingBlank
    | IcmpType
    | HopLimit
    | Dscp
)


class Origin(Struct, frozen=True):
    """The path in the site's YAML that a rule comes from (``vosctl explain`` gives its lines), and its purpose."""

    path: str
    purpose: str


class Rule(Struct, frozen=True):
    """One rule: all of its conditions hold, so the target applies. ``protocol`` is ``udp``, ``tcp`` or ``icmp``."""

    target: Target
    origin: Origin
    protocol: str | None = None
    source: Network | None = None
    destination: Network | None = None
    interface: str | None = None
    matches: tuple[Match, ...] = ()


class Chain(Struct, frozen=True):
    """An own chain; ``parent`` is the built-in chain that enters it, None for one that rules jump to."""

    table: str
    name: str
    rules: tuple[Rule, ...]
    parent: str | None = None


class Program(Struct, frozen=True):
    """All own chains of one address family, 4 or 6."""

    family: int
    chains: tuple[Chain, ...]


def payload_offset(family: int) -> int:
    """Return where a UDP payload begins behind an IP header without options or extension headers."""
    return (20 if family == 4 else 40) + 8
