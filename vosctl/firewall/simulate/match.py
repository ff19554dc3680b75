"""Whether a condition holds for a packet: yes, no or not known (None), as the kernel's match modules decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from vosctl.compile.desired import IpSet
from vosctl.firewall.simulate.membership import Membership
from vosctl.firewall.simulate.packet import ICMP, ICMP6, TCP, Image, Packet, image
from vosctl.firewall.simulate.rules import (
    U32,
    AddressIn,
    Condition,
    ConnectionsOver,
    DirectionIs,
    DscpIs,
    End,
    FlagsAre,
    Fragment,
    HasText,
    HopsIn,
    IcmpIs,
    LengthIn,
    MemberOf,
    Over,
    PortIn,
    ProtocolIs,
    Span,
    StateIn,
    Test,
    Unmodelled,
    Via,
)
from vosctl.firewall.simulate.u32 import u32_holds
from vosctl.site.model import Network

_TO_IS_END = (6, 6)  # the kernel from which on the text of a string match must end within --to
_UPPER = bytes(
    byte - 32 if 97 <= byte <= 122 or (223 <= byte <= 255 and byte != 247) else byte for byte in range(256)
)
"""The kernel's toupper(), which knows Latin-1."""


class Meter(Protocol):
    """What is known of how much the packet's source sends."""

    def is_over(self, test: Over, packet: Packet) -> bool | None:
        """Return whether this packet is one too many; the kernel counts it by asking."""

    def connections(self, test: ConnectionsOver, packet: Packet) -> int | None:
        """Return how many connections the packet's source prefix holds, this one included."""


class Steady(Struct, frozen=True):
    """A source that keeps sending ``rate`` packets a second (0: this one only) and holds ``held`` connections.

    None: not known. At a rate above a limit the answer is that of the packets beyond it.
    """

    rate: float | None = 0
    held: int | None = 1

    def is_over(self, test: Over, _packet: Packet) -> bool | None:
        """Return whether the rate is above the limit."""
        return None if self.rate is None else self.rate > test.rate

    def connections(self, _test: ConnectionsOver, _packet: Packet) -> int | None:
        """Return the number of connections held."""
        return self.held


Member = tuple[Network, int, int | None]
"""Address, protocol and port; 0 and None for sets without ports."""


class World(Struct):
    """What packets meet besides rules: the sets, how much is sent, the kernel's version (None: any).

    ``touched`` says of a set and a member whether a rule made it a member (False: took it out, None:
    perhaps) while packets were followed. ``filled``: sets that the node fills itself may hold anybody;
    otherwise they are taken as empty.
    """

    sets: Mapping[str, Membership]
    meter: Meter = field(default_factory=Steady)
    kernel: tuple[int, int] | None = None
    touched: dict[tuple[str, Member], bool | None] = field(default_factory=dict)
    filled: bool = False


def member_of(packet: Packet, ends: tuple[str, ...]) -> Member:
    """Return what a set with these ends (``src``; ``src,src``) looks up or stores of a packet."""
    address = packet.source if ends[0] == "src" else packet.destination
    if len(ends) == 1:
        return address, 0, None
    return address, packet.protocol, packet.sport if ends[1] == "src" else packet.dport


def memberships(sets: Iterable[IpSet]) -> dict[str, Membership]:
    """Return the sets, ready to be asked."""
    return {ipset.name: Membership(ipset) for ipset in sets}


def holds(condition: Condition, packet: Packet, world: World) -> bool | None:
    """Return whether the condition holds for the packet, None where that is not known."""
    answer = _TESTS[type(condition.test)](condition.test, packet, world)
    return answer if answer is None or not condition.negated else not answer


def _address(test: AddressIn, packet: Packet, _world: World) -> bool | None:
    address = packet.source if test.end is End.SOURCE else packet.destination
    same = [network for network in test.networks if network.version == address.version]
    if any(address.subnet_of(network) for network in same):  # type: ignore[arg-type]
        return True
    return None if any(address.overlaps(network) for network in same) else False


def _via(test: Via, packet: Packet, _world: World) -> bool | None:
    if test.outgoing is not packet.outgoing:
        return None
    if packet.interface is None:
        return False if test.name == "lo" else None
    if test.name.endswith("+"):
        return packet.interface.startswith(test.name[:-1])
    return packet.interface == test.name


def _protocol(test: ProtocolIs, packet: Packet, _world: World) -> bool:
    return test.number in (0, packet.protocol)


def _fragment(_test: Fragment, _packet: Packet, _world: World) -> bool:
    return False


def _ports(test: PortIn, packet: Packet, _world: World) -> bool | None:
    if not packet.has_ports:
        return False
    ports = {End.SOURCE: (packet.sport,), End.DESTINATION: (packet.dport,)}.get(
        test.end, (packet.sport, packet.dport)
    )
    answers = [
        None if port is None else any(first <= port <= last for first, last in test.spans) for port in ports
    ]
    if True in answers:
        return True
    return None if None in answers else False


def _flags(test: FlagsAre, packet: Packet, _world: World) -> bool | None:
    if packet.protocol != TCP:
        return False
    seen = test.mask & packet.flags_known
    if packet.flags & seen != test.value & seen or test.value & ~test.mask:
        return False
    return True if seen == test.mask else None


def _icmp(test: IcmpIs, packet: Packet, _world: World) -> bool | None:
    if packet.protocol not in (ICMP, ICMP6):
        return False
    if packet.icmp is None:
        return None
    kind, code = packet.icmp
    return kind == test.type and test.code in (None, code)


def _state(test: StateIn, packet: Packet, _world: World) -> bool | None:
    return None if packet.state is None else packet.state in test.states


def _direction(test: DirectionIs, packet: Packet, _world: World) -> bool | None:
    return None if packet.original is None else packet.original is test.original


def _member(test: MemberOf, packet: Packet, world: World) -> bool | None:
    ipset = world.sets.get(test.name)
    if ipset is None or ipset.dimensions != len(test.ends):
        return None
    address, protocol, port = member = member_of(packet, test.ends)
    if (test.name, member) in world.touched:
        return world.touched[test.name, member]
    return None if ipset.dynamic and world.filled else ipset.holds(address, protocol, port)


def _text(test: HasText, packet: Packet, world: World) -> bool | None:
    seen = image(packet)
    new, old = (_found(test, seen, ends_within) for ends_within in (True, False))
    if world.kernel is None:
        return new if new is old else None
    return new if world.kernel >= _TO_IS_END else old


def _found(test: HasText, seen: Image, ends_within: bool) -> bool | None:  # noqa: FBT001  one switch, two callers
    """Return whether the first occurrence lies within the bounds; unknown bytes may be anything."""
    data, pattern = seen.data, test.pattern
    if test.any_case:
        data, pattern = data.translate(_UPPER), pattern.translate(_UPPER)
    latest = test.last - len(pattern) if ends_within else test.last
    at = data.find(pattern, test.first)
    while at >= 0 and any(byte != 255 for byte in seen.known[at : at + len(pattern)]):
        at = data.find(pattern, at + 1)
    if 0 <= at <= latest:
        return True
    return None if _may_be(pattern, data, seen, test.first, latest) else False


def _may_be(pattern: bytes, data: bytes, seen: Image, first: int, latest: int) -> bool:
    """Return whether bytes that are not known could make an occurrence that starts in first to latest."""
    if not seen.complete and latest > len(data) - len(pattern) and latest >= first:
        return True
    for at in range(first, min(latest, len(data) - len(pattern), seen.clear_from - 1) + 1):
        window = zip(data[at : at + len(pattern)], pattern, seen.known[at : at + len(pattern)], strict=True)
        if all(byte == want or mask != 255 for byte, want, mask in window):
            return True
    return False


def _length(test: LengthIn, packet: Packet, _world: World) -> bool | None:
    seen = image(packet)
    if seen.complete:
        return test.span[0] <= len(seen.data) <= test.span[1]
    return False if test.span[1] < len(seen.data) else None


def _u32(test: U32, packet: Packet, _world: World) -> bool | None:
    return u32_holds(test, image(packet))


def _within(value: int | None, span: Span) -> bool | None:
    return None if value is None else span[0] <= value <= span[1]


def _hops(test: HopsIn, packet: Packet, _world: World) -> bool | None:
    return _within(packet.hops, test.span)


def _dscp(test: DscpIs, packet: Packet, _world: World) -> bool | None:
    return _within(packet.dscp, (test.value, test.value))


def _over(test: Over, packet: Packet, world: World) -> bool | None:
    return world.meter.is_over(test, packet)


def _connections(test: ConnectionsOver, packet: Packet, world: World) -> bool | None:
    held = world.meter.connections(test, packet)
    return None if held is None else held > test.count


def _unmodelled(_test: Unmodelled, _packet: Packet, _world: World) -> None:
    return None


_TESTS: Mapping[type[Test], Callable[[Any, Packet, World], bool | None]] = {
    AddressIn: _address,
    Via: _via,
    ProtocolIs: _protocol,
    Fragment: _fragment,
    PortIn: _ports,
    FlagsAre: _flags,
    IcmpIs: _icmp,
    StateIn: _state,
    DirectionIs: _direction,
    MemberOf: _member,
    HasText: _text,
    LengthIn: _length,
    U32: _u32,
    HopsIn: _hops,
    DscpIs: _dscp,
    Over: _over,
    ConnectionsOver: _connections,
    Unmodelled: _unmodelled,
}
