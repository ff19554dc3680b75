"""What a site sells at a loss: customers' rows below what an open vendor takes, told before a call is carried."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime

from msgspec.structs import replace

from vosctl.compile.routes import sellers, vendors
from vosctl.rates.guard import plain
from vosctl.rates.losses import Loss, losses
from vosctl.rates.route import Seller, Vendor
from vosctl.site.model import Site
from vosctl.site.problems import Problem, Problems, Severity
from vosctl.site.suggest import listed

MOST_ROWS = 1_000_000
_SHOWN = 3


def sold_at_a_loss(site: Site, when: datetime) -> Problems:
    """Return a warning for each customers' group and vendor with rows at a loss at a moment, at the worst row's place.

    What is the same on several nodes is one warning. Of more than ``MOST_ROWS`` pairs of rows the rest is left to
    ``vosctl rates check``, which a warning says.
    """
    known: dict[Hashable, list[Problem]] = {}
    nodes: dict[Problem, list[str]] = {}
    left = MOST_ROWS
    for name in site.selected:
        node = site.nodes[name]
        sold = vendors(site, node)
        for seller in sellers(node):
            key = _key(seller, sold)
            if key not in known:
                left -= sum(len(seller.deck.rows) + len(each.deck.rows) for each in sold if each.deck)
                known[key] = (
                    [_unread(seller)]
                    if left < 0
                    else list(_warnings(seller, list(losses(seller, sold, when))))
                )
            for problem in known[key]:
                nodes.setdefault(problem, []).append(name)
    told = [
        replace(each, message=f"{each.message} (on {listed(names, most=3)})") for each, names in nodes.items()
    ]
    return Problems(told)


def _key(seller: Seller, sold: Sequence[Vendor]) -> Hashable:
    parts = ((each.name, each.worth, id(each.deck), each.guard, id(each.routing)) for each in sold)
    return id(seller.deck), seller.worth, id(seller.routing), tuple(parts)


def _unread(seller: Seller) -> Problem:
    message = f"the margins of '{seller.deck.name}' were not looked at: there are too many rows"
    hint = "vosctl rates check looks at all of them"
    return Problem("margins-unread", message, seller.deck.mark, hint=hint, severity=Severity.WARNING)


def _warnings(seller: Seller, lost: Sequence[Loss]) -> Iterator[Problem]:
    by_vendor: dict[str, list[Loss]] = {}
    for loss in sorted(lost, key=lambda loss: (loss.amount, loss.prefix)):
        by_vendor.setdefault(loss.vendor.name, []).append(loss)
    for name, rows in by_vendor.items():
        count = f"{len(rows)} prefixes" if len(rows) > 1 else "1 prefix"
        first = sum(loss.first for loss in rows)
        tried = "tried first" if first == len(rows) else f"tried first for {first} of them"
        shown = "; ".join(_told(loss) for loss in rows[:_SHOWN])
        more = f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        yield Problem(
            rule="negative-margin",
            message=f"'{seller.deck.name}' sells {count} below what {name} takes, {tried}: {shown}{more}",
            mark=rows[0].sold.mark,
            path=f"rates.groups.{seller.deck.name}",
            hint=f"all of them: vosctl rates margin --from {seller.deck.name} --vendor {name} --losing; raise the rates, or let a guard lock the vendor there: profit: {{lowest: 0}}",
            severity=Severity.WARNING,
        )


def _told(loss: Loss) -> str:
    where = f" {loss.sold.destination}" if loss.sold.destination else ""
    prefix = loss.prefix or "all others"
    mark = loss.cost.mark
    return f"{prefix}{where} loses {plain(-loss.amount.normalize())} a minute ({mark.file}:{mark.line})"
