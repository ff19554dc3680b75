"""Addresses as the C library spells them, which is how iptables and ipset give them back."""

from __future__ import annotations

import socket

from vosctl.site.model import Network

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_BITS = {4: 32, 6: 128}


def network_text(network: Network) -> str:
    """Return the network; a single address is without a prefix length.

    Python writes ``::ffff:c000:201`` where the C library writes ``::ffff:192.0.2.1``.
    """
    version, length = network.version, network.prefixlen
    address = socket.inet_ntop(_FAMILIES[version], network.network_address.packed)
    return address if length == _BITS[version] else f"{address}/{length}"
