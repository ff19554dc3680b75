"""What a node's packet filter has to know, taken from the site: whom to trust, where media goes, what is metered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network

from msgspec import Struct

from vosctl.firewall.budgets import FEWEST_SHARES, Allowance, allowances
from vosctl.firewall.capacity import strangers_a_second, tracked_connections
from vosctl.firewall.meter import fitting
from vosctl.site.model import Address, Auth, Firewall, Gateway, Network, Node, PortRange, Site


class Policy(Struct, frozen=True):
    """Everything behind one node's rules, nothing of the rest of the site.

    ``peers`` are SIP peers known by their address, ``port_peers`` by address and source port;
    ``strangers`` says that SIP from anybody else may be genuine (a gateway with a password).
    ``media`` are the relay's addresses; ``media_ports`` None means that no media comes here.
    ``ng`` is the relay's control port where other hosts are to reach it. ``allowances`` are what
    strangers may send, and all of them together ``flood`` packets a second. ``peer_paths`` are the variables that name peers.
    """

    firewall: Firewall
    peers: tuple[Network, ...]
    port_peers: tuple[tuple[Network, int], ...]
    strangers: bool
    media: tuple[Address, ...]
    media_ports: PortRange | None
    ng: tuple[Address, int] | None
    signalling_dscp: int
    allowances: Mapping[str, Allowance]
    flood: int
    connections: tuple[int, int]
    peer_paths: tuple[str, ...]


def policy_of(site: Site, node: Node) -> Policy:
    """Return the node's policy; the far ends of its trunks are peers like gateways that are known by address."""
    gateways = node.gateways.values()
    peers = [*node.firewall.trusted, *_trunk_ends(site, node)]
    for gateway in gateways:
        if gateway.auth is Auth.IP:
            peers += gateway.networks
    relay = node.relay
    allowed = allowances(node.firewall, gateways)
    factor = node.firewall.network_factor or FEWEST_SHARES
    ports = node.firewall.rtp or (relay.ports if relay.enabled else None)
    return Policy(
        firewall=node.firewall,
        peers=tuple(peers),
        port_peers=tuple(pair for gateway in gateways for pair in _port_peers(gateway)),
        strangers=any(gateway.auth is Auth.PASSWORD for gateway in gateways),
        media=relay.addresses if relay.enabled else (),
        media_ports=ports,
        ng=relay.ng if relay.enabled and not relay.ng[0].is_loopback else None,
        signalling_dscp=node.qos.signalling,
        allowances=allowed,
        flood=_flood(node, allowed),
        connections=(node.firewall.tcp_connections, node.firewall.tcp_connections * factor),
        peer_paths=tuple(_peer_paths(node)),
    )


def _flood(node: Node, allowed: Mapping[str, Allowance]) -> int:
    """Return how many packets a second strangers may send together: no table of theirs is then ever full."""
    budgets = [budget for each in allowed.values() for budget in (each.source, each.network)]
    return min(fitting(*budgets), strangers_a_second(tracked_connections(node)))


def _peer_paths(node: Node) -> Iterator[str]:
    for path, written in (
        ("gateways", node.gateways),
        ("trunks", node.trunks),
        ("firewall.trusted", node.firewall.trusted),
    ):
        if written:
            yield path


def _port_peers(gateway: Gateway) -> list[tuple[Network, int]]:
    if gateway.auth is not Auth.IP_PORT or gateway.port is None:
        return []
    return [(network, gateway.port) for network in gateway.networks]


def _trunk_ends(site: Site, node: Node) -> list[Network]:
    ends = []
    for trunk in node.trunks.values():
        peer = site.nodes.get(trunk.other(node.name))
        if peer is not None:
            ends += [
                ip_network(address) for address in (*peer.relay.addresses, *_literal(peer.connection.host))
            ]
    return ends


def _literal(host: str) -> list[Address]:
    """Return the host's address if it is written as one: names are not resolved, compiling is pure."""
    try:
        return [ip_address(host)]
    except ValueError:
        return []
