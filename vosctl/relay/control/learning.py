"""Where a party's media may come from: the SDP's address, or, behind NAT, where its signalling came from."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple, Optional, Tuple

from vosctl.relay.control.addresses import ip_address
from vosctl.relay.control.calls import Endpoint
from vosctl.relay.control.peers import Peer
from vosctl.relay.control.request import Request
from vosctl.relay.control.sdp import Media

# Addresses that mean something only to the network they stand in (RFC 1918, 6598, 3927, 4193, 4291).
LOCAL_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)


class FarEnd(NamedTuple):
    """A far end as media is told it: ``learn`` is sdp, nat or any; ``source`` the only address for nat."""

    remote: Optional[Endpoint]
    rtcp: Optional[Endpoint]
    learn: str
    source: str


def far_end(media: Media, request: Request, peer: Optional[Peer]) -> FarEnd:
    """Return where the sender of ``media`` is, by its SDP, its signalling's source and its configuration."""
    address = media.address
    learn, source = _rule(address, request, peer)
    if learn == "nat" and "sip-source-address" in request.flags:
        address = source
    rtcp_address, rtcp_port = address, media.port + 1
    if media.rtcp is not None:
        rtcp_port = media.rtcp.port
        # With NAT an address in a=rtcp is as unreachable as the one in c=.
        rtcp_address = media.rtcp.address if media.rtcp.address and learn != "nat" else address
    rtcp = (rtcp_address, rtcp_port) if 0 < rtcp_port <= 65535 else None
    return FarEnd((address, media.port), rtcp, learn, source)


def _rule(address: str, request: Request, peer: Optional[Peer]) -> Tuple[str, str]:
    source = request.source or ""
    if (":" in source) != (":" in address):
        source = ""
    if source and "sip-source-address" in request.flags:
        return "nat", source
    configured = "sdp" if peer is None or peer.is_trunk else peer.learn
    if configured == "any":
        return "any", ""
    if configured == "nat" and source:
        return "nat", source
    return ("nat", source) if _behind_nat(address, source, request, peer) else ("sdp", "")


def _behind_nat(address: str, source: str, request: Request, peer: Optional[Peer]) -> bool:
    """Tell whether ``address`` can only be a private one, seen from here through a translator."""
    if not source or source == address or "trust-address" in request.flags:
        return False
    known = peer is not None and (peer.is_trunk or peer.holds(address))
    return not known and is_local(address)


def is_local(address: str) -> bool:
    """Tell whether ``address`` cannot be reached from another network."""
    found = ip_address(address)
    return any(found.version == network.version and found in network for network in LOCAL_NETWORKS)
