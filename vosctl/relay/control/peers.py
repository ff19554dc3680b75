"""The far ends that a relay knows, gateways and trunks, and how one is found by its address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Dict, Iterable, Optional, Tuple, Union

from vosctl.relay.control import crypto_attr
from vosctl.relay.control.addresses import ip_address
from vosctl.relay.control.jitter import Buffer
from vosctl.relay.control.settings import NO_LIMITS, Limits

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

SRTP = "srtp"
KEY_LENGTHS = {"xor": (1, 256), "rc4": (16, 32), "aes128": (16, 16)}


@dataclass(frozen=True)
class Peer:
    """A gateway or a trunk: the named far end of one side of a call.

    ``accept`` are the keys that it may name; ``modes`` says of each that is not used in the trunk's ``mode``
    in which one it is: the trunk changes from one to the other.
    """

    name: str
    kind: str
    networks: Tuple[Network, ...]
    learn: str = "sdp"
    mode: str = crypto_attr.NONE
    key: str = ""
    accept: Tuple[str, ...] = ()
    modes: Tuple[Tuple[str, str], ...] = ()
    limits: Limits = NO_LIMITS
    proxy: str = "must_on"
    interface: str = ""
    jitter: Optional[Buffer] = None

    @property
    def is_trunk(self) -> bool:
        """Whether the far end is another relay of the operator."""
        return self.kind == "trunk"

    def mode_of(self, kid: str) -> str:
        """Return the mode in which the trunk uses a key."""
        return dict(self.modes).get(kid, self.mode)

    def using(self, kid: str) -> Peer:
        """Return the trunk with ``kid`` for new calls, in that key's mode; the others keep theirs."""
        mode = self.mode_of(kid)
        others = tuple((each, self.mode_of(each)) for each in self.accept if self.mode_of(each) != mode)
        return replace(self, key=kid, mode=mode, modes=others)

    def holds(self, address: str) -> bool:
        """Tell whether ``address`` is one of the far end's own."""
        found = ip_address(address)
        return any(found.version == network.version and found in network for network in self.networks)


class Directory:
    """Finds a peer by address in a time that does not grow with the number of peers."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self._tables: Dict[Tuple[int, int, int], Dict[int, Peer]] = {}
        for peer in peers:
            for network in peer.networks:
                rank = (int(peer.is_trunk), network.prefixlen, network.version)
                bits = network.max_prefixlen - network.prefixlen
                self._tables.setdefault(rank, {})[int(network.network_address) >> bits] = peer
        self._ranks = sorted(self._tables, reverse=True)

    def find(self, address: str) -> Optional[Peer]:
        """Return the trunk, else the gateway with the longest prefix, that ``address`` belongs to."""
        found = ip_address(address)
        value = int(found)
        for rank in self._ranks:
            _, length, version = rank
            if version == found.version:
                peer = self._tables[rank].get(value >> (found.max_prefixlen - length))
                if peer is not None:
                    return peer
        return None
