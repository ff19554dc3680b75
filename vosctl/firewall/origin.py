"""From a rule's comment back to the lines of YAML that made the rule."""

from __future__ import annotations

from vosctl.firewall.ir import Origin
from vosctl.site.tree import Mark
from vosctl.site.written import Places


def origin_of(comment: str) -> Origin:
    """Return the origin that a compiled rule carries as its comment."""
    path, _, purpose = comment.partition(": ")
    return Origin(path, purpose)


def origin_lines(places: Places, node: str, origin: Origin) -> tuple[Mark, ...]:
    """Return where the variables behind a rule of ``node`` are written, the packaged defaults included.

    A path may name several variables (``gateways, trunks``); one that nobody wrote is left out.
    """
    marks = (places.find(node, path) for path in origin.path.split(", "))
    return tuple(dict.fromkeys(mark for mark in marks if mark is not None))
