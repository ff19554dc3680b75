"""Cross checks of routing: guards' groups, measured vendors, and shares that are more than all calls."""

from __future__ import annotations

from collections import Counter

from vosctl.site.check.findings import Findings
from vosctl.site.model import GatewayType, Node
from vosctl.site.suggest import did_you_mean, listed

_ALL = 100


def check_routing(findings: Findings) -> None:
    """Check that routing names rate groups and vendors that there are, and gives away each call once."""
    vendors = {
        gateway.name
        for node in findings.nodes()
        for gateway in node.gateways.values()
        if gateway.type is GatewayType.ROUTING
    }
    for node in findings.nodes():
        _check_groups(findings, node)
        for name in node.routing.statistics.keys() - vendors:
            message = (
                f"the statistics measure '{name}', which is no vendor's gateway{did_you_mean(name, vendors)}"
            )
            hint = f"vendors' gateways: {listed(vendors) or 'none'}"
            findings.warn(node, "routing-vendor", message, "routing", "statistics", hint=hint)
        _check_shares(findings, node)


def _check_groups(findings: Findings, node: Node) -> None:
    known = node.rates.groups
    for name in node.routing.groups:
        if name not in known:
            message = f"no rate group is named '{name}'{did_you_mean(name, known)}"
            hint = f"known in rates.groups: {listed(known) or 'none'}"
            findings.error(node, "routing-group", message, "routing", "profit", "groups", name, hint=hint)


def _check_shares(findings: Findings, node: Node) -> None:
    shares: Counter[int] = Counter()
    for gateway in node.gateways.values():
        if gateway.type is GatewayType.ROUTING:
            shares[gateway.routing.priority] += gateway.routing.share
    for priority, share in shares.items():
        if share > _ALL:
            message = f"vendors of priority {priority} are to get {share} per cent of the calls together"
            findings.error(
                node, "routing-shares", message, "gateways", hint="shares of one priority are 100 at most"
            )
