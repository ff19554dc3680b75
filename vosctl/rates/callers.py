"""Who a name on the command line means: a rate group, an account, a customer's gateway or a caller's number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vosctl.rates.pricing import Caller
from vosctl.site.model import GatewayType, Node


def caller_named(node: Node, name: str) -> Caller | None:
    """Return the caller that a name means on a node, None where it means none; groups come first."""
    rates = node.rates
    digits = name.removeprefix("+")
    if name in rates.groups:
        return Caller(group=name)
    if name in rates.accounts:
        return Caller(group=rates.accounts[name].group, account=name)
    gateway = node.gateways.get(name)
    if gateway is not None and gateway.type is GatewayType.MAPPING:
        owner = next((each.name for each in rates.accounts.values() if name in each.gateways), None)
        return Caller(group=gateway.rate_group, account=owner)
    return Caller(number=digits) if digits in rates.phones else None


def names(node: Node) -> Iterator[str]:
    """Yield every name that ``caller_named`` knows."""
    yield from node.rates.groups
    yield from node.rates.accounts
    yield from (gateway.name for gateway in node.gateways.values() if gateway.type is GatewayType.MAPPING)
    yield from node.rates.phones


def customers_groups(node: Node) -> set[str]:
    """Return the rate groups of the customers who call in on a node."""
    gateways = (each for each in node.gateways.values() if each.type is GatewayType.MAPPING)
    return {gateway.rate_group for gateway in gateways if gateway.rate_group is not None}


def groups_called(nodes: Sequence[Node]) -> list[tuple[Node, Caller]]:
    """Return each rate group on the nodes where customers of it call in; on all that have it where none do."""
    names = dict.fromkeys(name for node in nodes for name in node.rates.groups)
    found = []
    for name in names:
        having = [node for node in nodes if name in node.rates.groups]
        called = [node for node in having if name in customers_groups(node)]
        found += [(node, Caller(group=name)) for node in called or having]
    return found
