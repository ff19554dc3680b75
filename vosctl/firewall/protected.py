"""Who must never be banned on a node: its peers, its administrators, its own addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network

from msgspec import Struct

from vosctl.site.model import Network, Node, Site


class Protected(Struct, frozen=True):
    """A network that somebody who is wanted comes from; ``path`` is where the node's variables say so."""

    network: Network
    path: str
    who: str

    def overlaps(self, network: Network) -> bool:
        """Return whether a ban of ``network`` would hit it."""
        return self.network.version == network.version and self.network.overlaps(network)


def protected(site: Site, node: Node) -> Iterator[Protected]:
    """Yield every network that a ban on ``node`` must spare, password gateways with a known address included."""
    for gateway in node.gateways.values():
        for network in gateway.networks:
            yield Protected(network, f"gateways.{gateway.name}", f"gateway '{gateway.name}'")
    for path, networks, who in (
        ("firewall.admin", node.firewall.admin, "administrators"),
        ("firewall.trusted", node.firewall.trusted, "a trusted peer"),
    ):
        for at, network in enumerate(networks):
            yield Protected(network, f"{path}[{at}]", who)
    for trunk in node.trunks.values():
        peer = site.nodes.get(trunk.other(node.name))
        if peer is not None:
            who = f"node '{peer.name}' at the other end of trunk '{trunk.name}'"
            yield from _addresses(peer, f"trunks.{trunk.name}", who)
    yield from _addresses(node, "relay", "the node itself")


def _addresses(node: Node, path: str, who: str) -> Iterator[Protected]:
    found = list(node.relay.addresses)
    with suppress(ValueError):  # names are not looked up
        found.append(ip_address(node.connection.host))
    for address in dict.fromkeys(found):
        yield Protected(ip_network(address), path, who)
