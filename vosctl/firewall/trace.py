"""Sends a named packet through a node's compiled filter and says what it met, and by which rule its fate is decided."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from msgspec import Struct

from vosctl.compile.desired import Desired
from vosctl.errors import VosctlError
from vosctl.firewall.refusal import PREFIX
from vosctl.firewall.simulate.match import Steady, World, memberships
from vosctl.firewall.simulate.packet import ACK, ICMP, ICMP6, SYN, TCP, UDP, Packet, host
from vosctl.firewall.simulate.rules import Over, Rule
from vosctl.firewall.simulate.walk import Fate, Journey, Step, follow
from vosctl.site.model import Address, Node
from vosctl.site.probes import Expectation, Probe

_ECHO = {4: 8, 6: 128}
_PROTOCOLS = {"udp": UDP, "tcp": TCP}
_FATES = {Fate.ACCEPT: Expectation.ACCEPT, Fate.DROP: Expectation.DROP, Fate.RETURN: Expectation.RETURN}


class Trace(Struct, frozen=True):
    """A packet's way through one node. ``verdict`` None: the simulator does not know, and ``unknown`` says why.

    ``cause`` is the step of the rule that decides; where that only drops what was sent there, the
    rule that sent it.
    """

    probe: Probe
    packet: Packet
    journey: Journey
    verdict: Expectation | None
    cause: Step | None

    @property
    def unknown(self) -> str:
        """Why the verdict is not known, "" where it is."""
        if self.verdict is not None:
            return ""
        if self.journey.trouble:
            return self.journey.trouble
        step = next(iter(self.journey.unknown), None)
        if step is None or step.unmet is None:
            return "more than one way is possible"
        return f"it depends on {step.unmet.text} ({step.rule.comment})"

    @property
    def over(self) -> Over | None:
        """The budget that the packet's source exceeds, where that decides."""
        tests = [] if self.cause is None else [each.test for each in self.cause.rule.conditions]
        return next((test for test in tests if isinstance(test, Over)), None)


def trace(node: Node, desired: Desired, probe: Probe, *, kernel: tuple[int, int] | None = None) -> Trace:
    """Return the packet's way through ``desired``, the node's compiled filter.

    ``kernel`` is the node's version where it is known: the string match changed with 6.6. Raises
    VosctlError where the node has no address of the packet's family or no filter.
    """
    packet = packet_of(node, probe)
    ruleset = next((rules for rules in desired.rulesets if rules.family == packet.family), None)
    if ruleset is None:
        raise VosctlError(
            f"{node.name}: no packet filter is compiled", hint="firewall.enabled is false there"
        )
    world = World(memberships(desired.sets), Steady(probe.rate, probe.connections), kernel)
    journey = follow(ruleset, packet, world)
    fate = journey.fate
    return Trace(probe, packet, journey, _FATES[fate] if fate else None, _cause(journey))


def packet_of(node: Node, probe: Probe) -> Packet:
    """Return the probe as a packet; what it does not say is what such packets usually have."""
    family = probe.source.version
    protocol = _PROTOCOLS.get(probe.protocol, ICMP if family == 4 else ICMP6)
    new = probe.state == "new"
    kind = _ECHO[family] if probe.icmp_type is None else probe.icmp_type
    link = protocol == ICMP6 and 133 <= kind <= 137  # neighbour discovery is never forwarded: RFC 4861
    return Packet(
        source=probe.source,
        destination=host(probe.destination or _own_address(node, family)),
        protocol=protocol,
        sport=probe.sport,
        dport=probe.dport,
        interface=probe.interface,
        payload=probe.payload,
        flags=SYN if new else ACK,
        icmp=None if protocol in (UDP, TCP) else (kind, 0),
        hops=255 if link else 64,
        state="UNTRACKED" if link else probe.state.upper(),
    )


def _own_address(node: Node, family: int) -> Address:
    candidates: list[Address] = list(node.relay.addresses)
    with suppress(ValueError):  # names are not looked up
        candidates.append(ip_address(node.connection.host))
    found = next((address for address in candidates if address.version == family), None)
    if found is None:
        example = "192.0.2.1" if family == 4 else "2001:db8::1"
        raise VosctlError(
            f"{node.name} has no IPv{family} address in the site",
            hint=f"name where the packet goes: --dst {example}, or dst: in a test",
        )
    return found


def _cause(journey: Journey) -> Step | None:
    rule = journey.decided_by
    if rule is None:
        return None
    step = next(step for step in reversed(journey.steps) if step.rule is rule)
    if not rule.chain.startswith(PREFIX):
        return step
    return _jump_to(journey, rule) or step


def _jump_to(journey: Journey, rule: Rule) -> Step | None:
    steps = reversed(journey.steps)
    return next((step for step in steps if step.rule.target.name == rule.chain and step.holds), None)
