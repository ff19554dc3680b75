"""The ipsets of a node: who is trusted and who administers, as members in ipset's own spelling."""

from __future__ import annotations

from collections.abc import Iterable

from vosctl.compile.desired import IpSet
from vosctl.firewall.policy import Policy
from vosctl.site.model import Network

PEERS = "vos-peers"
PORT_PEERS = "vos-ports"
ADMIN = "vos-admin"

_SMALLEST = 65536  # ipset's own default for maxelem
_FAMILY_WORDS = {4: "inet", 6: "inet6"}


def set_name(base: str, family: int) -> str:
    """Return the name of the set of one family."""
    return f"{base}{family}"


def build(policy: Policy) -> tuple[IpSet, ...]:
    """Return all sets, by name; each exists even without a member, so that rules never change for want of one."""
    sets = []
    for family in (4, 6):
        sets.append(_networks(PEERS, family, policy.peers))
        sets.append(_networks(ADMIN, family, policy.firewall.admin))
        sets.append(_addresses_and_ports(PORT_PEERS, family, policy.port_peers))
    return tuple(sorted(sets, key=lambda ipset: ipset.name))


def restore_input(sets: Iterable[IpSet]) -> str:
    """Return ``ipset -exist restore`` input: each set is filled beside and swapped in, so none is ever half full."""
    lines: list[str] = []
    for ipset in sets:
        name, spare = ipset.name, f"{ipset.name}-t"
        shape = f"{ipset.type} family {_FAMILY_WORDS[ipset.family]} maxelem {ipset.maxelem}"
        lines += [f"create {name} {shape}", f"create {spare} {shape}", f"flush {spare}"]
        lines += [f"add {spare} {member}" for member in ipset.members]
        lines += [f"swap {spare} {name}", f"destroy {spare}"]
    return "\n".join((*lines, ""))


def _networks(base: str, family: int, networks: Iterable[Network]) -> IpSet:
    members = {text for network in networks if network.version == family for text in _members(network)}
    return _ipset(base, "hash:net", family, members)


def _addresses_and_ports(base: str, family: int, pairs: Iterable[tuple[Network, int]]) -> IpSet:
    members = {
        f"{text},{protocol}:{port}"
        for network, port in pairs
        if network.version == family
        for text in _members(network)
        for protocol in ("udp", "tcp")
    }
    return _ipset(base, "hash:net,port", family, members)


def _ipset(base: str, kind: str, family: int, members: set[str]) -> IpSet:
    room = max(_SMALLEST, 1 << (2 * len(members)).bit_length())
    return IpSet(set_name(base, family), kind, family, tuple(sorted(members)), room)


def _members(network: Network) -> tuple[str, ...]:
    if network.prefixlen == 0:  # ipset knows no /0
        return tuple(str(half) for half in network.subnets(prefixlen_diff=1))
    if network.prefixlen == network.max_prefixlen:
        return (str(network.network_address),)
    return (str(network),)
