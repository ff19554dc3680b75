"""One packet, or all packets of a kind: every field may be unknown (None), addresses may be whole networks."""

from __future__ import annotations

import functools
from ipaddress import ip_network

from msgspec import Struct

from vosctl.site.model import Address, Network

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
SYN, RST, ACK = 2, 4, 16
_FLAGS = 63
_BYTE = 255


class Packet(Struct, frozen=True):
    """What the filter can see of a packet.

    ``source`` and ``destination`` stand for every address in them. ``interface`` None is some
    interface other than ``lo``. ``payload`` is what follows the UDP, TCP or ICMP header.
    ``flags`` are TCP's, of which ``flags_known`` says which are known. ``headers`` are IPv4 options
    (a multiple of 4 bytes) or whole IPv6 extension headers, the first of kind ``headers_kind``, the
    last of which already names the protocol. ``state`` is conntrack's: NEW, ESTABLISHED, RELATED, INVALID
    or UNTRACKED; ``original``: it goes the way of its connection's first packet.
    """

    source: Network
    destination: Network
    protocol: int
    sport: int | None = None
    dport: int | None = None
    interface: str | None = None
    payload: bytes | None = b""
    flags: int = SYN
    flags_known: int = _FLAGS
    icmp: tuple[int, int] | None = None
    hops: int | None = 64
    dscp: int | None = 0
    headers: bytes = b""
    headers_kind: int = 60
    state: str | None = "NEW"
    original: bool | None = True
    outgoing: bool = False

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.source.version

    @property
    def has_ports(self) -> bool:
        """Whether the protocol has ports."""
        return self.protocol in (TCP, UDP)


def host(address: Address) -> Network:
    """Return the network of one address."""
    return ip_network(address)


class Image(Struct, frozen=True):
    """The packet's bytes from the IP header on, as far as they are known.

    ``known`` has a 1 bit for each bit of ``data`` that is known; ``complete`` False: more bytes follow.
    From ``clear_from`` on, every byte of ``data`` is known.
    """

    data: bytes
    known: bytes
    complete: bool
    clear_from: int


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()
        self.known = bytearray()

    def number(self, value: int | None, size: int) -> None:
        self.data += (value or 0).to_bytes(size, "big")
        self.known += bytes([0 if value is None else _BYTE]) * size

    def raw(self, data: bytes) -> None:
        self.data += data
        self.known += bytes([_BYTE]) * len(data)

    def network(self, network: Network) -> None:
        self.data += network.network_address.packed
        self.known += network.netmask.packed


@functools.lru_cache(maxsize=4096)
def image(packet: Packet) -> Image:
    """Return the packet as bytes; checksums, identification and the like are not known."""
    writer = _Writer()
    size = None if packet.payload is None else _upper_size(packet) + len(packet.payload)
    (_ip4 if packet.family == 4 else _ip6)(writer, packet, size)
    _upper(writer, packet)
    writer.raw(packet.payload or b"")
    known = bytes(writer.known)
    return Image(bytes(writer.data), known, packet.payload is not None, len(known.rstrip(b"\xff")))


def _upper_size(packet: Packet) -> int:
    return 20 if packet.protocol == TCP else 8


def _ip4(writer: _Writer, packet: Packet, size: int | None) -> None:
    words = 5 + len(packet.headers) // 4
    writer.number(0x40 | words, 1)
    _service(writer, packet)
    writer.number(None if size is None else size + words * 4, 2)
    writer.number(None, 4)  # identification, flags, fragment offset
    writer.number(packet.hops, 1)
    writer.number(packet.protocol, 1)
    writer.number(None, 2)
    writer.network(packet.source)
    writer.network(packet.destination)
    writer.raw(packet.headers)


def _service(writer: _Writer, packet: Packet) -> None:
    if packet.dscp is None:
        writer.number(None, 1)
    else:
        writer.data.append(packet.dscp << 2)
        writer.known.append(0xFC)  # the rest is ECN's


def _ip6(writer: _Writer, packet: Packet, size: int | None) -> None:
    traffic_class = None if packet.dscp is None else packet.dscp << 2
    writer.data.append(0x60 | (traffic_class or 0) >> 4)
    writer.known.append(0xF0 if traffic_class is None else _BYTE)
    writer.data.append((traffic_class or 0) << 4 & 0xF0)
    writer.known.append(0 if traffic_class is None else 0xC0)
    writer.number(None, 2)
    writer.number(None if size is None else size + len(packet.headers), 2)
    writer.number(packet.headers_kind if packet.headers else packet.protocol, 1)
    writer.number(packet.hops, 1)
    writer.network(packet.source)
    writer.network(packet.destination)
    writer.raw(packet.headers)


def _upper(writer: _Writer, packet: Packet) -> None:
    if not packet.has_ports:
        kind, code = packet.icmp if packet.icmp is not None else (None, None)
        writer.number(kind, 1)
        writer.number(code, 1)
        writer.number(None, 6)
        return
    writer.number(packet.sport, 2)
    writer.number(packet.dport, 2)
    if packet.protocol == UDP:
        writer.number(None if packet.payload is None else 8 + len(packet.payload), 2)
        writer.number(None, 2)
        return
    writer.number(None, 9)
    writer.data[-1], writer.known[-1] = 0x50, 0xF0  # five words: TCP without options
    writer.data.append(packet.flags)
    writer.known.append(packet.flags_known)
    writer.number(None, 6)
