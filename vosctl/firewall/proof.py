"""What a node's compiled filter must let through, proven before anything is applied: tests, signalling, media.

Every gateway that is known by its address must reach the SIP ports with whatever it sends, first
packets and later ones, whatever its rate; media must reach the relay from everywhere. What the
simulator does not know is said as that.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.desired import Desired, Ruleset
from vosctl.errors import VosctlError
from vosctl.firewall.simulate.match import Steady, World, holds, memberships
from vosctl.firewall.simulate.packet import ACK, SYN, TCP, UDP, Packet, host
from vosctl.firewall.simulate.parse import parse
from vosctl.firewall.simulate.rules import U32, AddressIn, Condition, End, MemberOf, PortIn, Test
from vosctl.firewall.simulate.walk import Fate, Journey, follow
from vosctl.firewall.trace import Trace, trace
from vosctl.site.model import Address, Auth, Gateway, Network, Node
from vosctl.site.probes import Probe

_EVERYONE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_NOTHING_KNOWN = Steady(rate=None, held=None)
_ANY_ADDRESS = {4: ip_network("192.0.2.1"), 6: ip_network("2001:db8::1")}


class Failure(Struct, frozen=True):
    """A test of the site's that ends otherwise; ``trace`` is None where it could not be run, for ``reason``."""

    probe: Probe
    trace: Trace | None
    reason: str = ""


class Obstacle(Struct, frozen=True):
    """Traffic that must pass and may not. ``path`` is where the site names its sender; ``sure``: it does not."""

    path: tuple[str, ...]
    what: str
    rule: str
    sure: bool


def failures(node: Node, desired: Desired) -> Iterator[Failure]:
    """Yield the node's tests that do not end as expected."""
    for probe in node.firewall.tests:
        try:
            found = trace(node, desired, probe)
        except VosctlError as error:
            yield Failure(probe, None, str(error))
            continue
        if probe.expect is not None and found.verdict is not probe.expect:
            yield Failure(probe, found)


def obstacles(node: Node, desired: Desired) -> Iterator[Obstacle]:
    """Yield what keeps a gateway's signalling, or media, from the node; one for each gateway at most."""
    guard = _Guard(desired)
    for gateway in node.gateways.values():
        if gateway.auth is not Auth.PASSWORD:
            path = ("gateways", gateway.name, "addresses")
            yield from guard.first(path, f"signalling of '{gateway.name}'", _signalling(node, gateway))
    if node.relay.enabled:
        yield from guard.first(("relay", "ports"), "media to the relay", _media(node))


class _Guard:
    """Follows packets; those whose sources no rule and no set tells apart share one journey."""

    def __init__(self, desired: Desired) -> None:
        self._rulesets = {ruleset.family: ruleset for ruleset in desired.rulesets}
        self._sets = memberships(desired.sets)
        self._askers = {family: _askers(ruleset) for family, ruleset in self._rulesets.items()}
        self._known: dict[tuple[object, ...], Journey] = {}

    def first(self, path: tuple[str, ...], what: str, packets: Iterator[Packet]) -> Iterator[Obstacle]:
        """Yield the first of the packets that may be dropped."""
        for packet in packets:
            if packet.family not in self._rulesets:
                continue
            journey = self._journey(packet)
            if Fate.DROP in journey.fates:
                yield Obstacle(path, f"{what} ({_shown(packet)})", _rule(journey), journey.fate is Fate.DROP)
                return

    def _journey(self, packet: Packet) -> Journey:
        world = World(self._sets, _NOTHING_KNOWN, filled=True)
        answers = tuple(holds(each, packet, world) for each in self._askers[packet.family])
        key = (packet.family, packet.destination, packet.protocol, packet.dport, packet.state, answers)
        if key not in self._known:
            self._known[key] = follow(self._rulesets[packet.family], packet, world)
        return self._known[key]


def _askers(ruleset: Ruleset) -> tuple[Condition, ...]:
    """Return the conditions that look at a packet's source, each once."""
    found = {
        condition.test: condition
        for rules in parse(ruleset.text).values()
        for rule in rules
        for condition in rule.conditions
        if _asks_source(condition.test)
    }
    return tuple(found.values())


def _asks_source(test: Test) -> bool:
    if isinstance(test, MemberOf):
        return "src" in test.ends
    if isinstance(test, U32):
        return True  # it may look anywhere
    return isinstance(test, (AddressIn, PortIn)) and test.end is not End.DESTINATION


def _rule(journey: Journey) -> str:
    rule = journey.fates[Fate.DROP]
    step = next((s for s in reversed(journey.steps) if rule and s.rule.target.name == rule.chain), None)
    found = step.rule if step is not None else rule
    return journey.trouble if found is None else found.comment or found.text


def _shown(packet: Packet) -> str:
    protocol = "UDP" if packet.protocol == UDP else "TCP"
    return f"{protocol} from {packet.source} to port {packet.dport}, {(packet.state or 'any').lower()}"


def _signalling(node: Node, gateway: Gateway) -> Iterator[Packet]:
    firewall = node.firewall
    for network in gateway.networks:
        for protocol, ports in ((UDP, firewall.sip_udp), (TCP, (*firewall.sip_tcp, *firewall.sip_tls))):
            for port in ports:
                opening = Packet(
                    source=network,
                    destination=_own(node, network),
                    protocol=protocol,
                    sport=gateway.port if gateway.auth is Auth.IP_PORT else None,
                    dport=port,
                    payload=None,
                    flags=SYN,
                    hops=None,
                    dscp=None,
                )
                yield opening
                yield _later(opening)


def _later(opening: Packet) -> Packet:
    return replace(opening, flags=ACK, flags_known=SYN | ACK, state="ESTABLISHED", original=None)


def _media(node: Node) -> Iterator[Packet]:
    for address in node.relay.addresses:
        for port in (node.relay.ports.first, node.relay.ports.last):
            yield Packet(
                source=_EVERYONE[address.version],
                destination=host(address),
                protocol=UDP,
                dport=port,
                payload=None,
                hops=None,
                dscp=None,
            )


def _own(node: Node, network: Network) -> Network:
    """Return an address of the node in the network's family: rules for SIP name none."""
    found: list[Address] = list(node.relay.addresses)
    try:
        found.append(ip_address(node.connection.host))
    except ValueError:
        return _ANY_ADDRESS[network.version]
    return next((host(one) for one in found if one.version == network.version), _ANY_ADDRESS[network.version])
