"""Traffic that is newly accepted or dropped, and why that may matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from vosctl.compile.desired import Desired, IpSet, Ruleset
from vosctl.firewall.analysis.compare import Moved, compare
from vosctl.firewall.analysis.narrow import narrow
from vosctl.firewall.simulate.walk import Fate
from vosctl.plan.risk import Risk
from vosctl.review.model import Area, Finding
from vosctl.review.words import some
from vosctl.site.model import Node
from vosctl.site.written import Places

_Filter = tuple[Ruleset, tuple[IpSet, ...]]
_MOST = 40
_PEERS = ("gateways", "trunks", "firewall.trusted")
_MANAGED = ("firewall.management", "firewall.admin", "firewall.default")  # by default, administrators pass
_FATES = {Fate.ACCEPT: "accepted", Fate.DROP: "dropped", Fate.RETURN: "left to the host's own rules"}


class Traffic:
    """Compares packet filters and remembers: nodes whose filters change alike are compared once."""

    def __init__(self) -> None:
        self._known: dict[object, list[Moved]] = {}

    def of(self, node: Node, old: Desired, new: Desired) -> Iterator[tuple[int, Moved]]:
        """Yield family and packets whose fate is another, newly accepted ones first."""
        before, after = ({each.family: each for each in desired.rulesets} for desired in (old, new))
        for family in sorted({*before, *after}):
            none = Ruleset(family, "", ())
            was, now = before.get(family, none), after.get(family, none)
            sets = _of_family(old, family), _of_family(new, family)
            if was.digest == now.digest:
                sets = narrow(was.text, *sets)
            if was.digest != now.digest or sets[0] != sets[1]:
                yield from ((family, moved) for moved in self._moved(node, (was, sets[0]), (now, sets[1])))

    def _moved(self, node: Node, was: _Filter, now: _Filter) -> list[Moved]:
        """Compare, or return what another node's filters gave that differ from these in its own addresses alone."""
        own = _own_addresses(node)
        key = _without(own, was), _without(own, now)
        if key not in self._known:
            found = list(compare(was, now))
            if any(address.search(moved.packets) for moved in found for address in own):
                return found  # these words are this node's alone
            self._known[key] = found
        return self._known[key]


def _of_family(node: Desired, family: int) -> tuple[IpSet, ...]:
    return tuple(each for each in node.sets if each.family == family)


def _own_addresses(node: Node) -> tuple[re.Pattern[str], ...]:
    addresses = {*map(str, node.relay.addresses), node.connection.host}
    return tuple(re.compile(rf"(?<![\w.:]){re.escape(each)}(?![\w.:])") for each in sorted(addresses))


def _without(own: tuple[re.Pattern[str], ...], half: _Filter) -> tuple[object, ...]:
    ruleset, sets = half
    text = ruleset.text
    for at, address in enumerate(own):
        text = address.sub(f"own{at}", text)
    return ruleset.family, text, ruleset.hooks, sets


def traffic(found: Iterable[tuple[int, Moved]], new: Node, places: Places) -> Iterator[Finding]:
    """Yield a finding for each kind of packets whose fate is another, those beyond the first 40 in one.

    What a peer's own rule takes or leaves is told once, however many other rules it met before or meets now.
    """
    kinds: dict[tuple[int, str, Fate, Fate, str], list[Moved]] = {}
    for family, moved in found:
        own = moved.path if moved.now is Fate.ACCEPT else moved.earlier
        kinds.setdefault((family, moved.packets, moved.before, moved.now, own), []).append(moved)
    every = [_finding(key[0], alike, new, places) for key, alike in kinds.items()]
    yield from every[:_MOST]
    rest = every[_MOST:]
    if rest:
        carried = dict.fromkeys(risk for finding in rest for risk in finding.risks)
        text = f"and {len(rest)} more changes of traffic"
        lines = tuple(finding.text for finding in rest)
        yield Finding(Area.TRAFFIC, "", text, tuple(carried), detail=lines)


def _finding(family: int, alike: Sequence[Moved], new: Node, places: Places) -> Finding:
    first = alike[0]
    only = f" (where {' or '.join(first.only)})" if len(alike) == 1 and first.only else ""
    now, before = ([getattr(each, name) for each in alike] for name in ("path", "earlier"))
    text = (
        f"IPv{family} {first.packets}{only}: now {_FATES[first.now]}{_by(now)} "
        f"(before: {_FATES[first.before]}{_by(before)})"
    )
    path = first.path.partition(", ")[0]
    mark = places.find(new.name, path) if path else None
    return Finding(Area.TRAFFIC, "", text, tuple(risks(first)), mark)


def _by(paths: Iterable[str]) -> str:
    named = some([path for path in dict.fromkeys(paths) if path], 3)
    return f" by {named}" if named else ""


def risks(moved: Moved) -> Iterator[Risk]:
    """Yield why a change of traffic may matter.

    What a gateway, a trunk, a trusted network or an administrator accounts for opens no port: the
    reviewer sees that peer in the findings.
    """
    if moved.before is Fate.DROP and moved.now is not Fate.DROP:
        if moved.now is Fate.RETURN or not moved.path.startswith((*_PEERS, *_MANAGED)):
            yield Risk.OPENS_PORT
    elif moved.before is Fate.ACCEPT:
        if moved.earlier.startswith(_MANAGED):
            yield Risk.CUTS_CONTROLLER
        elif moved.earlier.startswith(_PEERS):
            yield Risk.DROPS_PEER
