"""``routes.bin``: the node's route tables, in the form that docs/route-file.md describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from msgspec import Struct

from vosctl.compile.desired import File
from vosctl.compile.memo import Memo
from vosctl.errors import VosctlError
from vosctl.rates.route import Seller, Vendor
from vosctl.rates.routing.tables import Source, compile_tables
from vosctl.rates.routing.words import lines
from vosctl.rates.routing.write import write
from vosctl.site.clock import now
from vosctl.site.decks import Deck
from vosctl.site.model import Gateway, GatewayType, Node, Site

PATH = "/etc/vosctl/routes.bin"


def files(site: Site, node: Node, memo: Memo) -> tuple[File, ...]:
    """Return the route file, or none where the node sells nothing."""
    if not node.rates.groups:
        return ()
    made = source(site, node)
    sides = [(each.deck.name, each.worth) for each in made.sellers]
    names = tuple((each.name, each.via, each.worth) for each in made.vendors)
    objects: list[object] = [each.deck for each in made.sellers]
    objects += [part for each in made.vendors for part in (each.deck, each.guard, each.routing)]
    content = memo.once(
        lambda: write(compile_tables(made)),
        "routes",
        made.currency,
        tuple(sides),
        names,
        objects=[*objects, made.routing],
    )
    return (File(PATH, content, words=lambda old: lines(old, content, made, now())),)


def source(site: Site, node: Node) -> Source:
    """Return what the node's routes are made of."""
    return Source(node.rates.currency, sellers(node), vendors(site, node), node.routing)


def sellers(node: Node) -> tuple[Seller, ...]:
    """Return the customers' groups of a node, by name."""
    return tuple(
        Seller(deck, _worth(node, node, deck), node.routing) for _, deck in sorted(node.rates.groups.items())
    )


def vendors(site: Site, node: Node) -> tuple[Vendor, ...]:
    """Return the node's own vendors, and those of the nodes at the other ends of its trunks."""
    return tuple(_vendors(site, node))


class _Terms(Struct, frozen=True):
    gateway: Gateway
    deck: Deck | None
    worth: Decimal

    def vendor(self, via: str | None) -> Vendor:
        gateway = self.gateway
        return Vendor(gateway.name, via, self.deck, gateway.guard, gateway.routing, self.worth)


def _vendors(site: Site, node: Node) -> Iterator[Vendor]:
    own = _routing(node, node)
    yield from (terms.vendor(None) for terms in own.values())
    for trunk in node.trunks.values():
        peer = site.nodes[trunk.other(node.name)]
        for name, terms in _routing(peer, node).items():
            if name not in own:
                yield terms.vendor(trunk.name)


def _routing(owner: Node, node: Node) -> Mapping[str, _Terms]:
    found = {}
    for gateway in owner.gateways.values():
        if gateway.type is GatewayType.ROUTING:
            deck = owner.rates.clearing.get(gateway.rate_group) if gateway.rate_group else None
            found[gateway.name] = _Terms(gateway, deck, _worth(owner, node, deck) if deck else Decimal(1))
    return found


def _worth(owner: Node, node: Node, deck: Deck) -> Decimal:
    """Return what one unit of the deck's currency is in the node's."""
    currency = deck.currency or owner.rates.currency
    if currency == node.rates.currency:
        return Decimal(1)
    worth = node.rates.exchange.get(currency)
    if worth is None:
        raise VosctlError(
            f"{deck.mark}: deck '{deck.name}' is in {currency}, and {node.name} does not know what that is"
            f" in {node.rates.currency}",
            hint=f"add rates.exchange: {{{currency}: …}} for {node.name}",
        )
    return worth
