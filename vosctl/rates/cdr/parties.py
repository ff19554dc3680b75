"""Who a call is of: a record names gateways; the site knows whose they are and by which decks they are charged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from vosctl.site.decks import Rates
from vosctl.site.model import GatewayType, Node, Site

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Party:
    """The owner of a gateway, the deck it is charged by, and the agent who brought the owner; "" where there is none."""

    name: str
    deck: str
    agent: str


@dataclass(frozen=True, slots=True)
class Parties:
    """By gateway: customers' and vendors'. By account: the deck and the agent."""

    customers: Mapping[str, Party]
    vendors: Mapping[str, Party]
    accounts: Mapping[str, Party]


def parties(site: Site) -> Parties:
    """Return what the nodes of a site say of gateways; the first node that has one counts."""
    customers: dict[str, Party] = {}
    vendors: dict[str, Party] = {}
    accounts: dict[str, Party] = {}
    for node in _nodes(site):
        owners = {gateway: each.name for each in node.rates.accounts.values() for gateway in each.gateways}
        for account in node.rates.accounts.values():
            accounts.setdefault(account.name, Party(account.name, account.group or "", account.agent or ""))
        for gateway in node.gateways.values():
            if gateway.type is GatewayType.ROUTING:
                vendors.setdefault(gateway.name, Party(gateway.name, gateway.rate_group or "", ""))
            else:
                owner = accounts.get(owners.get(gateway.name, ""))
                name, agent = (owner.name, owner.agent) if owner else (gateway.name, "")
                deck = (owner.deck if owner else "") or gateway.rate_group or ""
                customers.setdefault(gateway.name, Party(name, deck, agent))
    return Parties(customers, vendors, accounts)


def rates_of(site: Site) -> Rates:
    """Return the rates of all chosen nodes together; of decks with the same name the first node's count."""
    all_rates = [node.rates for node in _nodes(site)]
    first = all_rates[0]
    return Rates(
        currency=first.currency,
        groups=_merged(rates.groups for rates in all_rates),
        clearing=_merged(rates.clearing for rates in all_rates),
        exchange=_merged(rates.exchange for rates in all_rates),
        accounts=_merged(rates.accounts for rates in all_rates),
        phones=_merged(rates.phones for rates in all_rates),
        packages=_merged(rates.packages for rates in all_rates),
        agents=_merged(rates.agents for rates in all_rates),
    )


def _nodes(site: Site) -> list[Node]:
    return [site.nodes[name] for name in site.selected]


def _merged(tables: Iterable[Mapping[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for table in tables:
        found = {**table, **found}
    return found
