"""Addresses as the C library spells them, which is how iptables and ipset give them back."""

from __future__ import annotations

import socket

from vosctl.site.model import Network


def network_text(network: Network) -> str:
    """Return the network; a single address is without a prefix length.

    Python writes ``::ffff:c000:201`` where the C library writes ``::ffff:192.0.2.1``.
    """
    if network.version == 4:
        return str(network) if network.prefixlen < 32 else str(network.network_address)
    address = socket.inet_ntop(socket.AF_INET6, network.network_address.packed)
    return f"{address}/{network.prefixlen}" if network.prefixlen < 128 else address
