"""What an offer makes of a branch: its parties, their places and the marking of its packets."""

from __future__ import annotations

from typing import Tuple

from vosctl.relay.control import interfaces
from vosctl.relay.control.calls import Branch
from vosctl.relay.control.request import Request
from vosctl.relay.control.values import replace


def at(branch: Branch, side: int, places: Tuple[interfaces.Place, interfaces.Place]) -> Branch:
    """Return the branch as one that is relayed, at the places towards the party of ``side`` and towards the other."""
    given = places if side == 0 else (places[1], places[0])
    first, second = [
        replace(party, interface=place.interface, address=place.address, advertised=place.advertised)
        for party, place in zip(branch.parties, given)  # noqa: B905 (Python 3.9 has no strict=)
    ]
    return replace(branch, bypass=False, parties=(first, second))


def bound(branch: Branch, request: Request, side: int) -> Branch:
    """Return the branch with what a further offer from ``side`` tells of its parties."""
    sender = branch.parties[side]
    label = request.text("label") or sender.label
    branch = branch.with_party(side, replace(sender, source=request.source or sender.source, label=label))
    other = branch.parties[1 - side]
    if request.to_tag and not other.tag:
        branch = branch.with_party(1 - side, other.tagged(request.to_tag))
    return branch


def dscp(request: Request, configured: int) -> int:
    """Return the DSCP that the request's ``tos`` asks for, else the configured one."""
    text = request.text("tos")
    return int(text) >> 2 if text.isdecimal() and int(text) <= 255 else configured
