"""The ipsets of a node: who is trusted and who administers, and the timed ones that its rules fill themselves."""

from __future__ import annotations

from collections.abc import Iterable

from vosctl.compile.desired import IpSet
from vosctl.firewall.policy import Policy
from vosctl.firewall.spelling import network_text
from vosctl.site.model import Network

PEERS = "vos-peers"
PORT_PEERS = "vos-ports"
ADMIN = "vos-admin"

BANNED = "vos-ban"
OFFENDED = "vos-again"
OFFENDED_AGAIN = "vos-often"
PROVEN = "vos-proof"
PROVEN_SECONDS = 60
REGISTERED = "vos-known"
REGISTERED_SECONDS = 3600

# A full set takes no more: a ban less, a longer ban less, a device that shares the strangers' budgets.
_TIMED = (
    (BANNED, "hash:net", "timeout 600 counters comment"),
    (OFFENDED, "hash:ip", "timeout 86400"),
    (OFFENDED_AGAIN, "hash:ip", "timeout 86400"),
    (PROVEN, "hash:ip,port", f"timeout {PROVEN_SECONDS}"),
    (REGISTERED, "hash:ip,port", f"timeout {REGISTERED_SECONDS}"),
)
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
        sets += [
            IpSet(set_name(base, family), kind, family, (), _SMALLEST, options)
            for base, kind, options in _TIMED
        ]
    return tuple(sorted(sets, key=lambda ipset: ipset.name))


def restore_input(sets: Iterable[IpSet]) -> str:
    """Return ``ipset -exist restore`` input: each set is filled beside and swapped in, so none is ever half full.

    Timed sets are made and nothing more: their members are the node's own.
    """
    lines: list[str] = []
    for ipset in sets:
        name, spare = ipset.name, f"{ipset.name}-t"
        shape = f"{ipset.type} family {_FAMILY_WORDS[ipset.family]} maxelem {ipset.maxelem}"
        if ipset.dynamic:
            lines.append(f"create {name} {shape} {ipset.options}")
            continue
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
        return tuple(network_text(half) for half in network.subnets(prefixlen_diff=1))
    return (network_text(network),)
