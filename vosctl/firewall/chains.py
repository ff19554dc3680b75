"""The entry chains: the order in which a packet for the node meets loopback, media, SIP, management and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network, ip_network

from vosctl.firewall import bans, ir, meter, refusal, sets, sip
from vosctl.firewall.policy import Policy
from vosctl.firewall.ports import groups
from vosctl.site.model import Budget, PortRange, Unmatched

_INPUT = "VOS-INPUT"
_PINGS = Budget(rate=10, burst=20)
_ALL_PINGS = Budget(rate=1000, burst=1000)  # a flow each, for half a minute: 30,000 tracked at the most
_LINK_LOCAL = IPv6Network("fe80::/10")
_ECHO = {4: 8, 6: 128}
_ICMP_ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_NEIGHBOURS = (133, 134, 135, 136)  # RFC 4861: solicitations and advertisements
_MULTICAST_LISTENERS = (130, 131, 132, 143)  # RFC 2710, RFC 3810


def build(policy: Policy, family: int) -> ir.Program:
    """Return all own chains of one family, 4 or 6."""
    own = [*_raw(policy, family), *_mangle(policy)]
    own.append(ir.Chain("filter", _INPUT, tuple(_input(policy, family)), "INPUT"))
    own += sip.chains(policy, family)
    return ir.Program(family, (*own, *refusal.chains(policy, own)))


def _input(policy: Policy, family: int) -> Iterator[ir.Rule]:
    yield _accept("firewall.enabled", "the node talks to itself", interface="lo")
    yield from _media(policy, family)
    yield from _to_sip(policy)
    yield from _management(policy, family)
    yield bans.banned(policy, family, spare_admin=True)
    yield from _icmp(policy, family)  # a ping that was answered makes a flow too
    yield _accept(
        "firewall.enabled",
        "flows that the node began or let in above",
        matches=(ir.State(("RELATED", "ESTABLISHED")),),
    )
    if policy.ng and policy.ng[0].version == family:
        yield from _relay_control(policy, family)
    yield from _rest(policy, family)


def _accept(path: str, purpose: str, *, protocol: str | None = None, interface: str | None = None,
            matches: tuple[ir.Match, ...] = ()) -> ir.Rule:  # fmt: skip
    return ir.Rule(
        ir.Verdict.ACCEPT, ir.Origin(path, purpose), protocol, interface=interface, matches=matches
    )


def _media_rules(
    policy: Policy, family: int, target: ir.Target, purpose: str, side: ir.Side
) -> Iterator[ir.Rule]:
    """Yield a rule for each address of the relay, or one for all where the relay is not ours."""
    if policy.media_ports is None:
        return
    ports = (ir.Ports(side, (policy.media_ports,)),)
    path = "relay.ports" if policy.firewall.rtp is None else "firewall.rtp"
    addresses = [ip_network(address) for address in policy.media if address.version == family]
    for network in addresses if policy.media else (None,):
        source, destination = (network, None) if side is ir.Side.SOURCE else (None, network)
        yield ir.Rule(target, ir.Origin(path, purpose), "udp", source, destination, matches=ports)


def _media(policy: Policy, family: int) -> Iterator[ir.Rule]:
    yield from _media_rules(policy, family, ir.Verdict.ACCEPT, "media to the relay", ir.Side.DESTINATION)


def _raw(policy: Policy, family: int) -> Iterator[ir.Chain]:
    """Media packets are not tracked: the relay knows its peers, and a lookup a packet would cost the most."""
    purpose = "media is not tracked"
    incoming = tuple(_media_rules(policy, family, ir.NoTrack(), purpose, ir.Side.DESTINATION))
    outgoing = tuple(_media_rules(policy, family, ir.NoTrack(), purpose, ir.Side.SOURCE))
    if incoming:
        yield ir.Chain("raw", "VOS-MEDIA-IN", incoming, "PREROUTING")
        yield ir.Chain("raw", "VOS-MEDIA-OUT", outgoing, "OUTPUT")


def _mangle(policy: Policy) -> Iterator[ir.Chain]:
    """Mark SIP that leaves without a mark of its own."""
    if not policy.signalling_dscp:
        return
    firewall = policy.firewall
    rules = []
    for protocol, ports in (("udp", firewall.sip_udp), ("tcp", (*firewall.sip_tcp, *firewall.sip_tls))):
        for group in groups(ports):
            matches = (ir.Ports(ir.Side.EITHER, group), ir.Dscp(0))
            origin = ir.Origin("qos.signalling", "SIP that its program left unmarked")
            rules.append(ir.Rule(ir.SetDscp(policy.signalling_dscp), origin, protocol, matches=matches))
    yield ir.Chain("mangle", "VOS-DSCP", tuple(rules), "OUTPUT")


def _to_sip(policy: Policy) -> Iterator[ir.Rule]:
    firewall = policy.firewall
    tcp = (*firewall.sip_tcp, *firewall.sip_tls)
    for protocol, ports, chain, path in (
        ("udp", firewall.sip_udp, sip.UDP, "firewall.sip.udp"),
        ("tcp", tcp, sip.TCP, "firewall.sip.tcp, firewall.sip.tls"),
    ):
        for group in groups(ports):
            origin = ir.Origin(path, "SIP, before any rule for established flows")
            yield ir.Rule(ir.Jump(chain), origin, protocol, matches=(ir.Ports(ir.Side.DESTINATION, group),))


def _management(policy: Policy, family: int) -> Iterator[ir.Rule]:
    admin = ir.InSet(sets.set_name(sets.ADMIN, family))
    for service, ports in sorted(policy.firewall.management.items()):
        path = f"firewall.management.{service}"
        for group in groups(ports):
            destination = ir.Ports(ir.Side.DESTINATION, group)
            yield _accept(path, "from firewall.admin", protocol="tcp", matches=(destination, admin))
            yield refusal.rule(policy, "management", path, "from nobody else", destination, protocol="tcp")


def _icmp(policy: Policy, family: int) -> Iterator[ir.Rule]:
    """Untracked media has no RELATED errors, so those that paths depend on (RFC 1191, RFC 4890) pass by type."""
    for number in _ICMP_ERRORS[family]:
        yield _accept(
            "firewall.enabled",
            "errors that senders must hear",
            protocol="icmp",
            matches=(ir.IcmpType(number),),
        )
    echo = ir.IcmpType(_ECHO[family])
    together = meter.over_budget("pna", _ALL_PINGS, family=family, prefix=meter.ALL_SOURCES)
    yield refusal.rule(
        policy, "flood", "firewall.enabled", "pings of everybody too fast", echo, together, protocol="icmp"
    )
    budget = meter.over_budget("png", _PINGS, family=family, prefix=meter.NETWORK_BITS[family])
    yield refusal.rule(policy, "ping", "firewall.enabled", "pings too fast", echo, budget, protocol="icmp")
    yield _accept("firewall.enabled", "pings", protocol="icmp", matches=(echo,))
    if family == 6:
        yield from _icmp_of_links()


def _icmp_of_links() -> Iterator[ir.Rule]:
    for number in _NEIGHBOURS:
        neighbour = (ir.IcmpType(number), ir.HopLimit(255))
        yield _accept("firewall.enabled", "neighbour discovery", protocol="icmp", matches=neighbour)
    for number in _MULTICAST_LISTENERS:
        origin = ir.Origin("firewall.enabled", "multicast listeners on the link")
        yield ir.Rule(ir.Verdict.ACCEPT, origin, "icmp", _LINK_LOCAL, matches=(ir.IcmpType(number),))
    # A DHCPv6 server answers from another address than was asked, so its reply is of no known flow.
    client = ir.Ports(ir.Side.DESTINATION, (PortRange(546, 546),))
    yield ir.Rule(
        ir.Verdict.ACCEPT,
        ir.Origin("firewall.enabled", "DHCPv6 replies"),
        "udp",
        _LINK_LOCAL,
        matches=(client,),
    )


def _relay_control(policy: Policy, family: int) -> Iterator[ir.Rule]:
    assert policy.ng is not None
    address, port = policy.ng
    destination = ir.Ports(ir.Side.DESTINATION, (PortRange(port, port),))
    admin = ir.InSet(sets.set_name(sets.ADMIN, family))
    for target, purpose, matches in (
        (ir.Verdict.ACCEPT, "the proxy controls the relay, from firewall.admin", (destination, admin)),
        (
            refusal.target(policy, "management"),
            "the control port of the relay, from nobody else",
            (destination,),
        ),
    ):
        network = None if address.is_unspecified else ip_network(address)
        yield ir.Rule(target, ir.Origin("relay.ng", purpose), "udp", destination=network, matches=matches)


def _rest(policy: Policy, family: int) -> Iterator[ir.Rule]:
    path = "firewall.default"
    if policy.firewall.default is Unmatched.DROP:
        admin = (ir.InSet(sets.set_name(sets.ADMIN, family)),)
        yield _accept(path, "administrators reach every service", matches=admin)
        yield refusal.rule(policy, "unwanted", path, "nothing above wanted it")
        return
    if policy.media_ports is not None:
        ports = (ir.Ports(ir.Side.DESTINATION, (policy.media_ports,)),)
        yield refusal.rule(policy, "unwanted", path, "media ports of no relay", *ports, protocol="udp")
    yield ir.Rule(ir.Verdict.RETURN, ir.Origin(path, "the rules of the host decide"))
