"""Compiles all selected nodes of a site."""

from __future__ import annotations

from vosctl.compile.desired import Desired, Release
from vosctl.compile.memo import Memo
from vosctl.compile.node import compile_node
from vosctl.site.model import Site


def compile_site(site: Site, *, release: Release | None) -> dict[str, Desired]:
    """Return the wanted state of each selected node, in inventory order.

    One process does it: nodes of one site share most of their objects, and what was compiled for
    one of them is not compiled again, which more processes could not see.
    """
    memo = Memo()
    return {name: compile_node(site, site.nodes[name], release, memo=memo) for name in site.selected}
