"""Whole IP packets for the wire, checksums and all, from what the simulator is told of them."""

from __future__ import annotations

import itertools
import struct

from vosctl.firewall.simulate.packet import TCP, UDP

_IDENTIFIERS = itertools.count(1)
"""Each echo request is a flow of its own."""


def checksum(data):
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def wire(packet):
    """Return the packet as bytes."""
    source, destination = (net.network_address.packed for net in (packet.source, packet.destination))
    upper = _upper(packet, source, destination)
    if packet.family == 6:
        first = packet.headers_kind if packet.headers else packet.protocol
        head = struct.pack(
            "!IHBB", 0x60000000 | packet.dscp << 22, len(packet.headers) + len(upper), first, packet.hops
        )
        return head + source + destination + packet.headers + upper
    words = 5 + len(packet.headers) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, packet.dscp << 2, words * 4 + len(upper), 77, 0x4000,
                       packet.hops, packet.protocol, 0)  # fmt: skip
    head += source + destination + packet.headers
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + upper


def _upper(packet, source, destination):
    payload = packet.payload
    if packet.protocol == UDP:
        data = struct.pack("!HHHH", packet.sport, packet.dport, 8 + len(payload), 0) + payload
        return _summed(packet, data, 6, source, destination)
    if packet.protocol == TCP:
        data = struct.pack(
            "!HHIIBBHHH", packet.sport, packet.dport, 1000, 2000, 0x50, packet.flags, 8192, 0, 0
        )
        return _summed(packet, data + payload, 16, source, destination)
    data = struct.pack("!BBHHH", *packet.icmp, 0, next(_IDENTIFIERS) & 0xFFFF, 1) + payload
    if packet.family == 4:
        return data[:2] + struct.pack("!H", checksum(data)) + data[4:]
    return _summed(packet, data, 2, source, destination)


def _summed(packet, data, at, source, destination):
    pseudo = source + destination + struct.pack("!II", len(data), packet.protocol)
    found = checksum(pseudo + data) or (0xFFFF if packet.protocol == UDP else 0)
    return data[:at] + struct.pack("!H", found) + data[at + 2 :]
