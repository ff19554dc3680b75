"""Who a call is of: a record names gateways; the site knows whose they are and by which decks they are charged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from vosctl.rates.engine.rated import CALLS
from vosctl.rates.engine.sql import literal
from vosctl.site.decks import Rates
from vosctl.site.model import GatewayType, Node, Site

T = TypeVar("T")


class Party(Struct, frozen=True):
    """The owner of a gateway, the deck it is charged by, and the agent who brought the owner; "" where there is none."""

    name: str
    deck: str
    agent: str


class Parties(Struct, frozen=True):
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


def filled(query: str, known: Parties) -> str:
    """Return calls (SQL) whose customer, vendor, decks and agent are filled in where the records leave them open."""
    made = {name: name for name in CALLS}
    customer, vendor = ("customer_gateway", known.customers), ("vendor_gateway", known.vendors)
    account, named = ("customer", known.accounts), ("vendor", known.vendors)
    made["customer"] = _filled("customer", [(*customer, "name")], last="customer_gateway")
    made["customer_deck"] = _filled("customer_deck", [(*account, "deck"), (*customer, "deck")])
    made["agent"] = _filled("agent", [(*account, "agent"), (*customer, "agent")])
    made["vendor"] = _filled("vendor", [(*vendor, "name")], last="vendor_gateway")
    made["vendor_deck"] = _filled("vendor_deck", [(*vendor, "deck"), (*named, "deck")])
    return f"select {', '.join(f'{sql} as {name}' for name, sql in made.items())} from ({query})"


def _filled(own: str, sources: Sequence[tuple[str, Mapping[str, Party], str]], last: str = "") -> str:
    """Return SQL of a column, else of what is known by another one, else of ``last``."""
    parts = [own]
    for column, table, field in sources:
        values = {name: getattr(party, field) for name, party in table.items() if getattr(party, field)}
        if values:
            pairs = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in values.items())
            parts.append(f"(map {{{pairs}}})[{column}]")
    if last:
        parts.append(last)
    return f"coalesce({', '.join(parts)})" if len(parts) > 1 else own


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
