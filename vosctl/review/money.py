"""Rates: what customers pay and vendors cost now, and what becomes of routes: locked, freed, sold at a loss."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from vosctl.compile.desired import Desired
from vosctl.compile.routes import PATH, source
from vosctl.plan.risk import Risk
from vosctl.rates.routing.changes import Kind
from vosctl.rates.routing.words import told
from vosctl.review.decks import decks
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.site.clock import now
from vosctl.site.model import Node, Site


class Ends(Struct, frozen=True):
    """A node in its site, and what it is compiled to."""

    site: Site
    node: Node
    desired: Desired

    @property
    def routes(self) -> bytes | None:
        """The node's route file, None where it sells nothing."""
        return next((file.content for file in self.desired.files if file.path == PATH), None)


def rates(old: Ends, new: Ends, same: Sameness) -> Iterator[Finding]:
    """Yield what changed in the decks, then what it does to the routes of each customers' group."""
    yield from decks(old.node.rates, new.node.rates, same)
    before, after = old.routes, new.routes
    if before is None or after is None or before == after:
        return
    groups = new.node.rates.groups
    for each in told(before, after, source(new.site, new.node), now()):
        if each.kind is not Kind.CHANGED:
            risks = (Risk(each.risk),) if each.risk else ()
            mark = groups[each.group].mark
            yield Finding(Area.RATES, f"routes of {each.group}", each.text, risks, mark, detail=each.detail)
