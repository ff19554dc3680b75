"""What customers are sold and vendors carry: prefixes without a vendor, without a known cost, at a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from vosctl.rates.guard import governing, lock, plain
from vosctl.rates.losses import losses
from vosctl.rates.route import Seller, Vendor
from vosctl.site.decks import Rate
from vosctl.site.problems import Problem, Severity
from vosctl.site.suggest import listed
from vosctl.site.tree import Mark

_SHOWN = 3
_Path = tuple[str, Rate | None, list[Rate | None]]


def coverage(seller: Seller, vendors: Sequence[Vendor], when: datetime) -> Iterator[Problem]:
    """Yield gaps, prefixes that all vendors are locked for, unknown costs and losses of one group at a moment."""
    offered = _one_way(vendors)
    gaps: dict[Mark, _Row] = {}
    for prefix, sold, costs in walk(seller.deck.at(when), [_rows(vendor, when) for vendor in offered]):
        if not sold.blocked:
            for rule, what in _of(seller, offered, prefix, sold, costs):
                row = gaps.setdefault(sold.mark, _Row(sold, {}))
                row.told.setdefault((rule, what), []).append(prefix)
    for row in gaps.values():
        yield from row.problems(seller.deck.name)
    for loss in losses(seller, vendors, when):
        yield Problem(
            "rates-loss" if loss.first else "rates-loss-next",
            f"'{seller.deck.name}' sells {_name(loss.prefix)} at {plain(loss.sold.rate)}, and {loss.vendor.name} takes "
            f"{plain(loss.cost.rate)} ({loss.cost.mark.file}:{loss.cost.mark.line}): "
            f"{plain(loss.amount.normalize())} a minute"
            + ("" if loss.first else ", where vendors before it cannot carry the call"),
            loss.sold.mark,
            path=f"rates.groups.{seller.deck.name}",
            hint="raise the rate, or lock the vendor there: profit: {lowest: 0} at its gateway",
            severity=Severity.ERROR if loss.first else Severity.WARNING,
        )


def walk(
    sold: Mapping[str, Rate], costs: Sequence[Mapping[str, Rate]]
) -> Iterator[tuple[str, Rate, list[Rate | None]]]:
    """Yield each prefix at which one of the tables changes, where it is sold, with the row of each that prices it."""
    own: dict[str, list[tuple[int, Rate]]] = {prefix: [] for prefix in sold}
    for number, rows in enumerate(costs):
        for prefix, row in rows.items():
            own.setdefault(prefix, []).append((number, row))
    path: list[_Path] = [("", None, [None] * len(costs))]
    for prefix in sorted(own):
        while not prefix.startswith(path[-1][0]):
            path.pop()
        _, price, known = path[-1]
        price, known = sold.get(prefix, price), list(known)
        for number, row in own[prefix]:
            known[number] = row
        path.append((prefix, price, known))
        if price is not None:
            yield prefix, price, known


class _Row(Struct, frozen=True):
    """A customer's row, and what is to be told of it, with the prefixes where it is so."""

    sold: Rate
    told: dict[tuple[str, str], list[str]]

    def problems(self, group: str) -> Iterator[Problem]:
        for (rule, what), prefixes in self.told.items():
            shown = listed(map(_name, prefixes), most=_SHOWN)
            yield Problem(
                rule,
                f"'{group}' sells {shown}, {what}",
                self.sold.mark,
                path=f"rates.groups.{group}",
                hint=_HINTS[rule],
                severity=Severity.ERROR if rule == "rates-gap" else Severity.WARNING,
            )


_HINTS = {
    "rates-gap": "find a vendor for it, or block the row: blocked: true",
    "rates-all-locked": "raise the rate, find a cheaper vendor, or block the row; vosctl rates routes shows each vendor",
    "rates-no-clearing": "add the rate to the vendor's deck, or lock the vendor where it has none: profit: {check_rate: true}",
}


def _of(
    seller: Seller, vendors: Sequence[Vendor], prefix: str, sold: Rate, costs: Sequence[Rate | None]
) -> Iterator[tuple[str, str]]:
    """Yield rule and words for what is wrong with one prefix; the guards are asked until a vendor is open."""
    if all(cost is None or cost.blocked for cost in costs):
        blocked = [vendor.name for vendor, cost in zip(vendors, costs, strict=True) if cost is not None]
        why = (
            f"which {listed(blocked)} blocked, and no other vendor has a rate"
            if blocked
            else "for which no vendor has a rate"
        )
        yield (
            "rates-gap",
            why.replace(" blocked,", " has blocked," if len(blocked) == 1 else " have blocked,"),
        )
        return
    unknown = []
    first = ""
    carried = False
    for vendor, cost in zip(vendors, costs, strict=True):
        if cost is None or not carried:
            guard = governing(vendor.guard, seller.routing, seller.deck.name, prefix)
            why = lock(sold, cost, guard, (seller.worth, vendor.worth))
            if not why and cost is None:
                unknown.append(vendor.name)
            carried = carried or not why
            first = first or (f"{vendor.name}: {why}" if why and cost is not None else "")
    if unknown:
        yield "rates-no-clearing", f"and what {listed(unknown)} takes for it is unknown: no clearing rate"
    if not carried:
        yield "rates-all-locked", f"and every vendor is locked ({first})"


def _rows(vendor: Vendor, when: datetime) -> Mapping[str, Rate]:
    return vendor.deck.at(when) if vendor.deck else {}


def _one_way(vendors: Sequence[Vendor]) -> list[Vendor]:
    """Return each vendor once, whichever ways lead to it."""
    return list({vendor.name: vendor for vendor in reversed(vendors)}.values())[::-1]


def _name(prefix: str) -> str:
    return prefix or "all other prefixes"
