"""Holds two revisions of a site against each other, node by node; compiles only nodes that a change can reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.desired import Desired
from vosctl.compile.site import compile_site
from vosctl.plan.risk import Risk
from vosctl.review.gateways import Owners, gateways
from vosctl.review.host import host
from vosctl.review.model import Area, Finding, NodeReview, Review, State
from vosctl.review.money import Ends, rates
from vosctl.review.same import Sameness, affected
from vosctl.review.settings import settings
from vosctl.review.traffic import Traffic, traffic
from vosctl.review.trunks import trunks
from vosctl.site.model import Site
from vosctl.site.read import Inputs
from vosctl.site.written import Places

_ORDER = list(Area)


class Revision(Struct, frozen=True):
    """A revision of a site as it was read: ``name`` is what the operator calls it."""

    name: str
    site: Site
    inputs: Inputs


def review(old: Revision, new: Revision) -> Review:
    """Return what becomes of every node that either revision selects."""
    same = Sameness()
    chosen = affected(old.site, new.site, same)
    before, after = (_compiled(each.site, chosen) for each in (old, new))
    made = _Making(old, new, same, Owners.of(old.site, new.site), Traffic(), Places.of(new.inputs))
    nodes = []
    for name in sorted({*old.site.selected, *new.site.selected}):
        if name not in old.site.nodes or name not in new.site.nodes:
            nodes.append(_whole(name, old.site, new.site))
        else:
            found = _told(made.node(name, before[name], after[name])) if name in before else ()
            nodes.append(NodeReview(name, State.CHANGED if found else State.SAME, found))
    return Review(old.name, new.name, tuple(nodes))


def review_running(running: Mapping[str, Revision | None], new: Revision, notes: Mapping[str, str]) -> Review:
    """Return what becomes of nodes that run different revisions; ``running`` is None for a node without any.

    ``notes`` are what else is to be said of a node.
    """
    found: list[NodeReview] = []
    revisions = {revision.name: revision for revision in running.values() if revision is not None}
    for revision in revisions.values():
        mine = {name for name, each in running.items() if each is revision}
        found += (node for node in review(revision, new).nodes if node.name in mine)
    blank = [name for name, revision in running.items() if revision is None and name in new.site.nodes]
    found += (_whole(name, replace(new.site, nodes={}), new.site) for name in blank)
    told = (_noted(node, notes.get(node.name, "")) for node in sorted(found, key=lambda node: node.name))
    return Review("what the nodes run", new.name, tuple(told))


def _noted(node: NodeReview, note: str) -> NodeReview:
    if not note:
        return node
    finding = Finding(Area.NODE, f"node {node.name}", note)
    state = State.CHANGED if node.state is State.SAME else node.state
    return replace(node, state=state, findings=(finding, *node.findings))


def _compiled(site: Site, chosen: Iterable[str]) -> dict[str, Desired]:
    return compile_site(replace(site, selected=tuple(chosen)), release=None)


def _told(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings by area, each once."""
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _ORDER.index(finding.area)))


def _whole(name: str, old: Site, new: Site) -> NodeReview:
    """Return a node that came or went."""
    came = name in new.nodes
    node = new.nodes[name] if came else old.nodes[name]
    text = f"{'new' if came else 'leaves the site'}, {len(node.gateways)} gateways, {len(node.trunks)} trunks"
    risks = () if came else (Risk.REMOVES_NODE,)
    finding = Finding(Area.NODE, f"node {name}", text, risks, node.mark, gone=not came)
    return NodeReview(name, State.NEW if came else State.GONE, (finding,))


class _Making(Struct, frozen=True):
    old: Revision
    new: Revision
    same: Sameness
    owners: Owners
    traffic: Traffic
    places: Places

    def node(self, name: str, before: Desired, after: Desired) -> Iterator[Finding]:
        """Yield all that changes for a node that is in both revisions."""
        old, new = self.old.site.nodes[name], self.new.site.nodes[name]
        if old.groups != new.groups:
            yield Finding(Area.NODE, f"node {name}", "stands in other groups", (), new.mark)
        yield from traffic(self.traffic.of(new, before, after), new, self.places)
        yield from gateways(old, new, self.owners, self.same)
        yield from trunks(old, new, self.same)
        yield from rates(Ends(self.old.site, old, before), Ends(self.new.site, new, after), self.same)
        yield from settings(self.old.inputs.variables(name), self.new.inputs.variables(name))
        yield from host(before, after)
