"""Whether an address, or every address of a network, is a member of an ipset."""

from __future__ import annotations

import socket
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from vosctl.compile.desired import IpSet
from vosctl.site.model import Network

PortKey = tuple[str, int] | None
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_DEFAULT = "tcp"  # what ipset takes where a member names no protocol


class Membership:
    """The members of one set, by prefix length: a look-up costs one hash for each length in use."""

    def __init__(self, ipset: IpSet) -> None:
        kind, _, rest = ipset.type.partition(":")
        dimensions = rest.split(",")
        self.modelled = kind == "hash" and dimensions in (["net"], ["ip"], ["net", "port"], ["ip", "port"])
        self.dimensions = len(dimensions)
        self.dynamic = ipset.dynamic
        self._bits = 32 if ipset.family == 4 else 128
        self._kind = socket.AF_INET if ipset.family == 4 else socket.AF_INET6
        self._nets: dict[PortKey, dict[int, set[int]]] = {}
        self._starts: dict[PortKey, list[int]] = {}
        if self.modelled:
            self._read(ipset.members)

    def _read(self, members: Iterable[str]) -> None:
        for member in members:
            words = member.split()
            if "nomatch" in words:
                self.modelled = False
                return
            text, _, port = words[0].partition(",")
            address, slash, bits = text.partition("/")
            length = int(bits) if slash else self._bits
            base = int.from_bytes(socket.inet_pton(self._kind, address), "big")
            lengths = self._nets.setdefault(_port_key(port), {})
            lengths.setdefault(length, set()).add(base >> self._bits - length << self._bits - length)

    def holds(self, network: Network, protocol: int, port: int | None) -> bool | None:
        """Return whether all of ``network`` (and the port) is a member; None: a part of it, or not known."""
        if not self.modelled:
            return None
        if self.dimensions == 1:
            return self._inside(None, network)
        if protocol not in _PROTOCOLS:
            others = any(key is not None and key[0] not in _PROTOCOLS.values() for key in self._nets)
            return None if others else False
        if port is None:
            keys = [key for key in self._nets if key is not None and key[0] == _PROTOCOLS[protocol]]
            return None if any(self._inside(key, network) is not False for key in keys) else False
        return self._inside((_PROTOCOLS[protocol], port), network)

    def _inside(self, key: PortKey, network: Network) -> bool | None:
        lengths = self._nets.get(key)
        if lengths is None:
            return False
        base = int(network.network_address)
        for length, bases in lengths.items():
            shift = self._bits - length
            if length <= network.prefixlen and base >> shift << shift in bases:
                return True
        if network.prefixlen == self._bits:
            return False
        return None if self._touches(key, base, int(network.broadcast_address)) else False

    def _touches(self, key: PortKey, first: int, last: int) -> bool:
        starts = self._starts.get(key)
        if starts is None:
            every = (base for bases in self._nets[key].values() for base in bases)
            starts = self._starts[key] = sorted(every)
        return bisect_left(starts, first) < bisect_right(starts, last)


def _port_key(text: str) -> PortKey:
    if not text:
        return None
    protocol, colon, port = text.rpartition(":")
    return (protocol if colon else _DEFAULT, int(port))
