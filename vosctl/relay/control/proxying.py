"""Whether the relay carries a call's media: the modes off, on, auto and must_on of SS_MEDIAPROXYMODE."""

from __future__ import annotations

import ipaddress
from typing import Optional, Tuple, Union

from vosctl.relay.control import interfaces
from vosctl.relay.control.addresses import ip_address
from vosctl.relay.control.config import Config
from vosctl.relay.control.crypto_attr import NONE
from vosctl.relay.control.learning import LOCAL_NETWORKS
from vosctl.relay.control.peers import Peer
from vosctl.relay.control.request import Request
from vosctl.relay.control.sdp import Description
from vosctl.relay.control.settings import PROXY_MODES

Peers = Tuple[Optional[Peer], Optional[Peer]]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

BYPASS_FLAG = "vos-bypass"
# What proxies have long written to say that media needs no second relay.
BYPASS_ATTRIBUTE = "nortpproxy"


def mode(config: Config, peers: Peers) -> str:
    """Return the mode for a call between ``peers``: the stronger of what the two say, else the relay's own.

    An encrypted trunk always has its media relayed: nobody else could decrypt it.
    """
    said = [_said(peer) for peer in peers if peer is not None]
    return max(said or [config.proxy], key=PROXY_MODES.index)


def _said(peer: Peer) -> str:
    return "must_on" if peer.mode != NONE else peer.proxy


def carries(config: Config, request: Request, description: Description, peers: Peers) -> bool:
    """Tell whether the relay is to carry the media of the offer in ``request``. Raises ``RefusalError``."""
    wanted = mode(config, peers)
    if wanted in {"off", "must_on"}:
        return wanted == "must_on"
    if _bypass(request, description):
        return False
    return wanted == "on" or _apart(config, request, description, peers)


def _bypass(request: Request, description: Description) -> bool:
    """Tell whether the call asks to be left alone: by the script's flag or by ``a=nortpproxy:yes``."""
    lines = [*description.lines, *(line for media in description.media for line in media.lines)]
    asked = any(line.attribute == BYPASS_ATTRIBUTE and line.argument.lower() == "yes" for line in lines)
    return asked or BYPASS_FLAG in request.flags


def _apart(config: Config, request: Request, description: Description, peers: Peers) -> bool:
    """Tell whether the two ends may be unable to reach each other, as far as the offer shows it.

    The answer comes too late to step in: an end of which nothing is known counts as apart.
    """
    addresses = [media.address for media in description.media if not media.rejected]
    if request.source is None or any(address != request.source for address in addresses):
        return True
    answerer = peers[1]
    if answerer is None or not answerer.networks or not addresses:
        return True
    near, far = interfaces.choose(config, request, description, peers)
    if near.name != far.name or request.text("address-family"):
        return True
    kinds = {_kind(network.network_address) for network in answerer.networks}
    return kinds != {_kind(ip_address(address)) for address in addresses}


def _kind(address: Address) -> Tuple[int, str]:
    """Return what decides who can reach an address: its family, and the private range that it is in."""
    inside = (n for n in LOCAL_NETWORKS if n.version == address.version and address in n)
    return address.version, str(next(inside, "public"))
