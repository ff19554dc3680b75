"""The packet filter of a node: sets, rulesets, and what brings both back at boot."""

from __future__ import annotations

from msgspec import Struct

from vosctl.compile.desired import File, IpSet, Ruleset
from vosctl.compile.memo import Memo
from vosctl.compile.text import render
from vosctl.firewall import chains, emit, policy, sets
from vosctl.site.model import Node, Site

FOLDER = "/etc/vosctl/firewall"
_UNIT = "/etc/systemd/system/vosctl-firewall.service"
_BOOT = "/etc/systemd/system/multi-user.target.d/50-vosctl-firewall.conf"
_IPSET = "/usr/sbin/ipset"
_IPTABLES = {4: "/usr/sbin/iptables", 6: "/usr/sbin/ip6tables"}


class Filter(Struct, frozen=True):
    """One node's packet filter; empty where the firewall is not enabled."""

    sets: tuple[IpSet, ...] = ()
    rulesets: tuple[Ruleset, ...] = ()
    files: tuple[File, ...] = ()
    packages: tuple[str, ...] = ()


def packet_filter(site: Site, node: Node, memo: Memo | None = None) -> Filter:
    """Return the node's packet filter; nodes of one ``memo`` with equal policies share one."""
    if not node.firewall.enabled:
        return Filter()
    found = policy.policy_of(site, node)
    if memo is None:
        return _filter(found)
    # Cheap to tell apart by, so that few policies are ever compared.
    rough = (found.media, found.ng, found.media_ports, len(found.peers), found.peers[-1:])
    return memo.equal(lambda: _filter(found), "packet filter", *rough, to=found)


def _filter(found: policy.Policy) -> Filter:
    ipsets = sets.build(found)
    rulesets = tuple(emit.ruleset(chains.build(found, family)) for family in (4, 6))
    return Filter(ipsets, rulesets, _files(ipsets, rulesets), ("ipset", "iptables"))


def _files(ipsets: tuple[IpSet, ...], rulesets: tuple[Ruleset, ...]) -> tuple[File, ...]:
    saved = [
        {"command": _IPTABLES[each.family], "path": f"{FOLDER}/rules.v{each.family}", "hooks": each.hooks}
        for each in rulesets
    ]
    return (
        File(f"{FOLDER}/sets", sets.restore_input(ipsets).encode()),
        *(File(f"{FOLDER}/rules.v{each.family}", each.text.encode()) for each in rulesets),
        File(_UNIT, render("firewall/vosctl-firewall.service.j2", ipset=_IPSET, rulesets=saved)),
        File(_BOOT, render("firewall/boot.conf.j2")),
    )
