"""``routes.json``: the node's route tables, one line a prefix, so that a change of one rate is a change of one line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vosctl.compile.desired import File
from vosctl.compile.memo import Memo
from vosctl.rates.guard import plain, profit
from vosctl.rates.route import Offer, Route, Vendor, table
from vosctl.site.decks import Deck
from vosctl.site.model import GatewayType, Node, Site

PATH = "/etc/vosctl/routes.json"


def files(site: Site, node: Node, memo: Memo) -> tuple[File, ...]:
    """Return the route file, or none where the node sells nothing."""
    if not node.rates.groups:
        return ()
    sold = vendors(site, node)
    decks = [deck for _, deck in sorted(node.rates.groups.items())]
    names = tuple((vendor.name, vendor.via) for vendor in sold)
    inputs = [*decks, *(part for vendor in sold for part in (vendor.deck, vendor.guard))]
    content = memo.once(
        lambda: _content(node.rates.currency, decks, sold),
        "routes",
        node.rates.currency,
        names,
        objects=inputs,
    )
    return (File(PATH, content),)


def vendors(site: Site, node: Node) -> tuple[Vendor, ...]:
    """Return the node's own vendors, and those of the nodes at the other ends of its trunks."""
    return tuple(_vendors(site, node))


def _vendors(site: Site, node: Node) -> Iterator[Vendor]:
    own = _routing(node)
    yield from (Vendor(name, None, *terms) for name, terms in own.items())
    for trunk in node.trunks.values():
        peer = site.nodes[trunk.other(node.name)]
        for name, terms in _routing(peer).items():
            if name not in own:
                yield Vendor(name, trunk.name, *terms)


def _routing(node: Node) -> Mapping[str, tuple[Deck | None, Any]]:
    clearing = node.rates.clearing
    return {
        gateway.name: (clearing.get(gateway.rate_group) if gateway.rate_group else None, gateway.guard)
        for gateway in node.gateways.values()
        if gateway.type is GatewayType.ROUTING
    }


def _content(currency: str, decks: Iterable[Deck], vendors: tuple[Vendor, ...]) -> bytes:
    groups = (
        _object(f"  {json.dumps(deck.name)}: ", map(_row, table(deck, vendors)), "  ") for deck in decks
    )
    body = _object(' "groups": ', groups, " ")
    return f'{{\n "currency": {json.dumps(currency)},\n{body},\n "version": 1\n}}\n'.encode()


def _object(opening: str, lines: Iterable[str], indent: str) -> str:
    inside = ",\n".join(lines)
    return f"{opening}{{\n{inside}\n{indent}}}" if inside else f"{opening}{{}}"


def _row(route: Route) -> str:
    row = {
        "rate": plain(route.rate.rate),
        "vendors": [_offer(route, offer) for offer in route.offers if not offer.locked],
        "locked": [{**_offer(route, offer), "why": offer.locked} for offer in route.offers if offer.locked],
    }
    return f"   {json.dumps(route.prefix)}: {json.dumps(row, sort_keys=True)}"


def _offer(route: Route, offer: Offer) -> dict[str, str | None]:
    cost = earned = None
    if offer.rate is not None:
        cost, earned = plain(offer.rate.rate), plain(profit(route.rate, offer.rate))
    return {"vendor": offer.vendor.name, "via": offer.vendor.via, "cost": cost, "profit": earned}
