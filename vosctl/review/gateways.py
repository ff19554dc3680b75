"""Gateways that came, went, moved, got another name, or other terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from vosctl.plan.risk import Risk
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.review.words import codecs, members, moved, some
from vosctl.site.model import Gateway, Limits, Node, Site

_PLAIN = (
    ("type", "type"),
    ("auth", "known by"),
    ("port", "source port"),
    ("username", "user name"),
    ("interface", "interface"),
    ("ptime", "packet time in ms"),
    ("dtmf", "DTMF"),
    ("proxy", "media proxy"),
    ("learn", "learns media from"),
    ("rate_group", "rates"),
)
_LIMITS = (("cps", "calls a second"), ("concurrent", "calls at once"), ("duration", "longest call"))
_GUARD = (
    ("lowest_profit", "lowest profit"),
    ("unit", "profit counted by"),
    ("max_minute_rate", "highest rate a minute"),
    ("check_rate", "needs a clearing rate"),
)


class Owners(Struct, frozen=True):
    """Which nodes have a gateway of a name, in the old site and in the new one."""

    old: Mapping[str, frozenset[str]]
    new: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, old: Site, new: Site) -> Owners:
        """Return who has what in the two sites."""
        return cls(_owners(old), _owners(new))

    def came_from(self, name: str) -> frozenset[str]:
        """Return the nodes that had the gateway and have it no more."""
        return self.old.get(name, frozenset()) - self.new.get(name, frozenset())

    def went_to(self, name: str) -> frozenset[str]:
        """Return the nodes that have the gateway now and had it not."""
        return self.new.get(name, frozenset()) - self.old.get(name, frozenset())


def _owners(site: Site) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for node in site.nodes.values():
        for name in node.gateways:
            found.setdefault(name, set()).add(node.name)
    return {name: frozenset(nodes) for name, nodes in found.items()}


def gateways(old: Node, new: Node, owners: Owners, same: Sameness) -> Iterator[Finding]:
    """Yield what became of each gateway of a node, in the order of their names."""
    went = {name: each for name, each in old.gateways.items() if name not in new.gateways}
    came = {name: each for name, each in new.gateways.items() if name not in old.gateways}
    renamed = dict(_renamed(went, came, same))
    earlier = {gateway.name for gateway in renamed.values()}
    for name in sorted({*old.gateways, *new.gateways}):
        if name in renamed:
            before = renamed[name]
            yield _finding(came[name], f"renamed from {before.name}")
            yield from changed(before, came[name], same)
        elif name in came:
            yield _new(came[name], owners.came_from(name))
        elif name in went and name not in earlier:
            yield _gone(went[name], owners.went_to(name))
        elif name in old.gateways and name in new.gateways:
            yield from changed(old.gateways[name], new.gateways[name], same)


def _renamed(
    went: Mapping[str, Gateway], came: Mapping[str, Gateway], same: Sameness
) -> Iterator[tuple[str, Gateway]]:
    """Yield the new names of gateways that went under another: the same in all, or else at the same addresses."""
    left = dict(went)
    for alike in (_twin(same), _neighbour):
        for name, gateway in came.items():
            fitting = [each for each in left.values() if alike(each, gateway)]
            if len(fitting) == 1:
                yield name, left.pop(fitting[0].name)


def _twin(same: Sameness) -> Callable[[Gateway, Gateway], bool]:
    return lambda old, new: same(replace(old, name=new.name), new)


def _neighbour(old: Gateway, new: Gateway) -> bool:
    if old.type is not new.type or old.auth is not new.auth:
        return False
    who = {*old.networks}, old.port, old.username
    return who == ({*new.networks}, new.port, new.username) and bool(old.networks or old.username)


def _new(gateway: Gateway, origin: frozenset[str]) -> Finding:
    kind = "customer" if gateway.type.value == "mapping" else "vendor"
    where = some([str(network) for network in gateway.networks]) or f"user {gateway.username}"
    limits = gateway.limits
    text = (
        f"{f'moved here from {some(sorted(origin))}' if origin else 'new'}, a {kind} at {where}, "
        f"{some(list(gateway.codecs))}, {limits.cps} calls a second, {limits.concurrent} at once"
    )
    return _finding(gateway, text)


def _gone(gateway: Gateway, destination: frozenset[str]) -> Finding:
    text = f"moved to {some(sorted(destination))}" if destination else "removed"
    return replace(_finding(gateway, text, Risk.DROPS_PEER), gone=True)


def changed(old: Gateway, new: Gateway, same: Sameness) -> Iterator[Finding]:
    """Yield a finding for each of a gateway's terms that is another."""
    if same(old, new):
        return
    for name, label in _PLAIN:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield _finding(new, moved(label, before, after))
    if {*old.networks} != {*new.networks}:
        lost = {*old.networks} - {*new.networks}
        risks = (Risk.DROPS_PEER,) if lost else ()
        yield _finding(new, members("addresses", old.networks, new.networks), *risks)
    if old.password != new.password:
        yield _finding(new, "another password")
    yield from _limits(old.limits, new)
    yield from _codecs(old.codecs, new)
    if not same(old.jitter, new.jitter):
        yield _finding(new, _jitter(old, new))
    yield from _guard(old, new)


def _limits(old: Limits, new: Gateway) -> Iterator[Finding]:
    for name, label in _LIMITS:
        before, after = getattr(old, name), getattr(new.limits, name)
        if before != after:
            lower = bool(after) and (not before or after < before)  # 0 is no limit
            yield _finding(new, moved(label, before, after), *((Risk.LOWERS_LIMIT,) if lower else ()))


def _codecs(old: tuple[str, ...], new: Gateway) -> Iterator[Finding]:
    text, lost = codecs(old, new.codecs)
    if text:
        yield _finding(new, text, *((Risk.NARROWS_CODECS,) if lost else ()))


def _jitter(old: Gateway, new: Gateway) -> str:
    parts = (
        f"{each.jitter.name} ({'adaptive' if each.jitter.adaptive else 'fixed'}, {each.jitter.minimum}-"
        f"{each.jitter.maximum} ms from {each.jitter.start})"
        for each in (old, new)
    )
    return "jitter buffer " + " → ".join(parts)


def _guard(old: Gateway, new: Gateway) -> Iterator[Finding]:
    if old.guard is None or new.guard is None:
        if old.guard is not new.guard:
            yield _finding(new, "a profit guard" if new.guard else "no profit guard any more")
        return
    for name, label in _GUARD:
        before, after = getattr(old.guard, name), getattr(new.guard, name)
        if before != after:
            yield _finding(new, f"profit guard: {moved(label, before, after)}")


def _finding(gateway: Gateway, text: str, *risks: Risk) -> Finding:
    return Finding(Area.GATEWAY, f"gateway {gateway.name}", text, risks, gateway.mark)
