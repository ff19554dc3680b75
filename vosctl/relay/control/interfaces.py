"""Which of the relay's interfaces a party gets: the script's word, its gateway's, its route, else the first one."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

from vosctl.relay.control.addresses import ip_address
from vosctl.relay.control.config import Config
from vosctl.relay.control.peers import Peer
from vosctl.relay.control.request import RefusalError, Request
from vosctl.relay.control.sdp import Description
from vosctl.relay.control.settings import DEFAULT, Interface

_FAMILIES = {"ip4": 4, "inet": 4, "ip6": 6, "inet6": 6}


class Place(NamedTuple):
    """Where the relay meets a party: the address that is bound and the one that its SDP shows."""

    interface: str
    address: str
    advertised: str


def near_address(description: Description) -> Optional[str]:
    """Return the address in the description's first stream that is not rejected."""
    return next((media.address for media in description.media if not media.rejected), None)


def choose(
    config: Config, request: Request, description: Description, peers: Tuple[Optional[Peer], Optional[Peer]]
) -> Tuple[Interface, Interface]:
    """Return the interfaces towards the offerer and towards the answerer. Raises ``RefusalError``."""
    if len(config.interfaces) == 1:
        # Scripts name directions for other relays too; with one interface there is nothing to choose.
        return config.interfaces[0], config.interfaces[0]
    said = _direction(request)
    addresses = (near_address(description), _address_of(peers[1]))
    near, far = (_one(config, said[at], peers[at], addresses[at]) for at in (0, 1))
    return near, far


def places(
    config: Config, request: Request, description: Description, peers: Tuple[Optional[Peer], Optional[Peer]]
) -> Tuple[Place, Place]:
    """Return where the relay meets the offerer and the answerer. Raises ``RefusalError``."""
    first = near_address(description)
    family = 6 if first is not None and ":" in first else 4
    wanted = _FAMILIES.get(request.text("address-family").lower(), family)
    near, far = choose(config, request, description, peers)
    return _place(near, family), _place(far, wanted)


def _place(interface: Interface, family: int) -> Place:
    found = interface.of(family)
    if found is None:
        where = "this relay" if interface.name == DEFAULT else f"interface `{interface.name}`"
        raise RefusalError(f"No IPv{family} address on {where}")
    bound, shown = found
    return Place(interface.name, bound, "" if shown == bound else shown)


def _direction(request: Request) -> Tuple[str, str]:
    value: Any = request.values.get("direction", [])
    words: List[str] = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    first, second = [str(word) for word in (*words, "", "")[:2]]
    return first, second


def _one(config: Config, said: str, peer: Optional[Peer], address: Optional[str]) -> Interface:
    known = {interface.name: interface for interface in config.interfaces}
    if said:
        if said not in known:
            raise RefusalError(f"direction: no interface `{said[:64]}` ({', '.join(known)})")
        return known[said]
    if peer is not None and peer.interface:
        return known[peer.interface]
    if address is not None:
        routed = [interface for interface in config.interfaces if interface.reaches(address)]
        if routed:
            return max(routed, key=lambda interface: _length(interface, address))
    return config.interfaces[0]


def _length(interface: Interface, address: str) -> int:
    found = ip_address(address)
    return max(n.prefixlen for n in interface.networks if n.version == found.version and found in n)


def _address_of(peer: Optional[Peer]) -> Optional[str]:
    if peer is None or not peer.networks:
        return None
    return str(peer.networks[0].network_address)
