"""Leaves out of two sets of addresses what cannot make a difference, so that a small change is a small comparison."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec.structs import replace

from vosctl.compile.desired import IpSet

_MATCHED = re.compile(r"--match-set (\S+) (\S+)")
_MANY = 64

Sets = tuple[IpSet, ...]
_Network = IPv4Network | IPv6Network


def narrow(rules: str, old: Sets, new: Sets) -> tuple[Sets, Sets]:
    """Return both sets without the members that lie apart from all that changed.

    ``rules`` are those of both sides. A packet whose source is in no changed member meets the same
    sets on both sides, so its fate is the same; and one whose source is in a changed member meets no
    member apart from it. So only sets that rules hold against sources alone are narrowed, and nothing
    is where a changed set is held against anything else.
    """
    sources = _held_against_sources(rules)
    before, after = ({each.name: each for each in sets} for sets in (old, new))
    moved = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    alike = all(name in before and name in after and name in sources for name in moved)
    changed = [member for name in moved for member in _difference(before, after, name)] if alike else []
    if not changed or len(changed) > _MANY:
        return old, new
    networks = [_network(member) for member in changed]
    return tuple(_kept(old, sources, networks)), tuple(_kept(new, sources, networks))


def _held_against_sources(rules: str) -> set[str]:
    words = set(_MATCHED.findall(rules))
    others = {name for name, how in words if set(how.split(",")) != {"src"}}
    return {name for name, _ in words} - others


def _difference(before: dict[str, IpSet], after: dict[str, IpSet], name: str) -> Iterator[str]:
    yield from set(before[name].members) ^ set(after[name].members)


def _kept(sets: Sets, sources: set[str], changed: Iterable[_Network]) -> Iterator[IpSet]:
    for each in sets:
        if each.name not in sources:
            yield each
            continue
        yield replace(each, members=tuple(m for m in each.members if _touches(_network(m), changed)))


def _touches(network: _Network, changed: Iterable[_Network]) -> bool:
    return any(network.version == other.version and network.overlaps(other) for other in changed)


@lru_cache(maxsize=1 << 16)
def _network(member: str) -> _Network:
    """Return the addresses of a member: all before the comma of ``203.0.113.0/24,udp:5060``."""
    return ip_network(member.partition(",")[0], strict=False)
