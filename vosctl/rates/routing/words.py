"""Says in words what becomes of routes when one route file takes the place of another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from vosctl.rates.route import route
from vosctl.rates.routing.changes import Kind, Moved, changes
from vosctl.rates.routing.lookup import RouteTables
from vosctl.rates.routing.reader import RouteFileError
from vosctl.rates.routing.tables import Source

_SHOWN = 8
_EXPLAINED = 200
RISKS = {Kind.LOCKED: "locks-vendor", Kind.LOSS: "negative-margin", Kind.NO_ROUTE: "no-route"}
"""The ids of the risks that changes carry."""


class Told(Struct, frozen=True):
    """What becomes of a group's routes, in words; ``risk`` is an id or "", ``detail`` a line a prefix."""

    group: str
    kind: Kind
    text: str
    risk: str
    detail: tuple[str, ...] = ()


def told(old: bytes, new: bytes, source: Source, when: datetime) -> Iterator[Told]:
    """Yield what changes from one file's content to that compiled of ``source``; raises RouteFileError for no route file."""
    before, after = RouteTables(old), RouteTables(new)
    for moved in changes(before, after, when, source.routing.traffic):
        yield _told(moved, source, when)
    for words, ours, others in (
        ("new", after.groups, before.groups),
        ("no longer sold", before.groups, after.groups),
    ):
        for name in sorted(ours.keys() - others.keys()):
            yield Told(name, Kind.CHANGED, words, "")


def lines(old: bytes | None, new: bytes, source: Source, when: datetime) -> tuple[tuple[str, ...], str]:
    """Return what a plan shows in place of the bytes' difference, and the gravest risk's id ("" for none)."""
    count = RouteTables(new).prefixes
    size = f"{len(new):,} bytes, {count:,} prefix{'' if count == 1 else 'es'}"
    if old is None:
        return (f"route tables, {size}",), ""
    try:
        found = list(told(old, new, source, when))
    except RouteFileError as error:
        return (f"route tables, {size}; what is there now cannot be read: {error}",), ""
    shown = [
        f"routes of {each.group}: {each.text}" + (f" [{each.risk}]" if each.risk else "") for each in found
    ]
    risks = {each.risk for each in found}
    gravest = next((risk for risk in ("negative-margin", "no-route", "locks-vendor") if risk in risks), "")
    return (f"route tables, {size}", *(shown or ["no route changes"])), gravest


def _told(moved: Moved, source: Source, when: datetime) -> Told:
    prefixes = sorted(moved.prefixes)
    start = f" from {moved.start:%Y-%m-%d %H:%M} UTC" if moved.start else ""
    start += f" in section {moved.section}" if moved.section else ""
    carried = "" if moved.minutes is None else f"; {_amount(moved)} minutes of traffic"
    if moved.kind is Kind.CHANGED:
        count = f"{len(prefixes):,} prefix{'' if len(prefixes) == 1 else 'es'}"
        return Told(
            moved.group, moved.kind, f"{count} change{'s' if len(prefixes) == 1 else ''}{start}{carried}", ""
        )
    subject = f"vendor {moved.vendor} " if moved.vendor else ""
    reasons = {prefix: _why(moved, prefix, source, when) for prefix in prefixes[:_EXPLAINED]}
    only = f" ({reasons[prefixes[0]]})" if len(prefixes) == 1 and reasons[prefixes[0]] else ""
    detail = [f"{prefix or '(all others)'}: {why}" for prefix, why in reasons.items() if why]
    if detail and len(prefixes) > _EXPLAINED:
        detail.append(f"and {len(prefixes) - _EXPLAINED} more")
    text = f"{subject}{moved.kind.value} {_some(prefixes)}{only}{start}{carried}"
    return Told(
        moved.group, moved.kind, text, RISKS.get(moved.kind, ""), tuple(detail) if len(prefixes) > 1 else ()
    )


def _why(moved: Moved, prefix: str, source: Source, when: datetime) -> str:
    """Return the reason with its amounts: what the guard says of the prefix's own route."""
    if moved.kind is not Kind.LOCKED or moved.section:  # which moment is in the section, nobody knows
        return moved.prefixes[prefix]
    seller = next(each for each in source.sellers if each.deck.name == moved.group)
    way = route(seller, source.vendors, prefix, moved.start or when)
    offers = way.offers if way else ()
    why = (offer.locked for offer in offers if offer.vendor.name == moved.vendor and offer.locked)
    return next(why, moved.prefixes[prefix])


def _amount(moved: Moved) -> str:
    assert moved.minutes is not None
    return f"{moved.minutes.normalize():,f}"


def _some(prefixes: list[str]) -> str:
    shown = ", ".join(prefix or "(all others)" for prefix in prefixes[:_SHOWN])
    return shown if len(prefixes) <= _SHOWN else f"{shown} and {len(prefixes) - _SHOWN} more"
