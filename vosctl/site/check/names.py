"""Cross checks of names: trunk ends, rate groups and decks, names that two things share."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.site.check.findings import Findings
from vosctl.site.model import Gateway, GatewayType, Node
from vosctl.site.suggest import did_you_mean, listed


def check_trunk_ends(findings: Findings) -> None:
    """Check that both ends of a trunk are different nodes of the inventory."""
    nodes = findings.built.site.nodes
    for name, trunk in findings.built.trunks.items():
        fields = findings.built.trunk_fields[name]
        for path, item in fields.scalars("ends"):
            if item.text not in nodes:
                message = f"the inventory has no node '{item.text}'{did_you_mean(item.text, nodes)}"
                findings.problems.error(
                    "unknown-node", message, item.mark, path=path, hint=f"nodes: {listed(nodes)}"
                )
        if trunk.ends[0] == trunk.ends[1]:
            message = f"both ends of trunk '{name}' are {trunk.ends[0]}"
            fields.error("trunk-ends", message, key="ends", hint="a trunk joins two different nodes")


def check_shared_names(findings: Findings) -> None:
    """Check that gateways and trunks share no name: a proxy gives both in one field."""
    for node in findings.nodes():
        for name in node.gateways.keys() & node.trunks.keys():
            message = f"'{name}' names a gateway and a trunk; a proxy could not tell them apart"
            findings.problems.error(
                "name-shared",
                message,
                node.trunks[name].mark,
                path=f"trunks.{name}",
                hint=f"rename one of them; the gateway is at {node.gateways[name].mark}",
            )
    for gateways in _distinct_gateways(findings):
        folded: dict[str, Gateway] = {}
        for gateway in gateways:
            other = folded.setdefault(gateway.name.casefold(), gateway)
            if other is not gateway:
                message = f"the gateways '{other.name}' and '{gateway.name}' differ in letter case alone"
                findings.problems.warn(
                    "name-similar",
                    message,
                    gateway.mark,
                    path=f"gateways.{gateway.name}",
                    hint="give one of them another name",
                )


def check_rate_groups(findings: Findings) -> None:
    """Check that customers name rate groups, vendors clearing decks, and that guards can compare."""
    seen: set[tuple[int, int]] = set()
    for node in findings.nodes():
        if (pair := (id(node.gateways), id(node.rates))) in seen:
            continue
        seen.add(pair)
        for gateway in node.gateways.values():
            _check_deck(findings, node, gateway)
            if gateway.guard and gateway.type is GatewayType.ROUTING and gateway.rate_group is None:
                message = f"the profit guard of '{gateway.name}' has no clearing deck to compare with"
                hint = "add rate_group: the name of a deck in rates.clearing"
                findings.warn(
                    node, "profit-deck", message, "gateways", gateway.name, "profit", hint=hint, named=False
                )


def _check_deck(findings: Findings, node: Node, gateway: Gateway) -> None:
    customer = gateway.type is GatewayType.MAPPING
    known, others = node.rates.groups, node.rates.clearing
    kind, where, other = "rate group", "rates.groups", "clearing deck"
    if not customer:
        known, others = others, known
        kind, where, other = other, "rates.clearing", kind
    name = gateway.rate_group
    if name is None or name in known:
        return
    message = f"no {kind} is named '{name}'{did_you_mean(name, known)}"
    hint = f"known in {where}: {listed(known) or 'none'}"
    if name in others:
        hint = f"'{name}' is a {other}; a {gateway.type.value} gateway takes a {kind}: {listed(known) or 'none yet'}"
    findings.error(
        node, "unknown-rate-group", message, "gateways", gateway.name, "rate_group", hint=hint, named=False
    )


def _distinct_gateways(findings: Findings) -> Iterator[list[Gateway]]:
    tables = {id(node.gateways): node.gateways for node in findings.nodes()}
    for table in tables.values():
        yield list(table.values())
