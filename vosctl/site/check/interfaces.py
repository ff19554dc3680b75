"""Cross check of relay interfaces: what gateways and trunks name must be there."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.site.check.findings import Findings
from vosctl.site.model import Node
from vosctl.site.objects.operation import DEFAULT_INTERFACE
from vosctl.site.suggest import did_you_mean, listed


def check_interfaces(findings: Findings) -> None:
    """Check that every interface that a gateway or a trunk names is one of its node's relay."""
    for node in findings.nodes():
        if not node.relay.enabled:
            continue
        known = [DEFAULT_INTERFACE, *(interface.name for interface in node.relay.interfaces)]
        for name, path in _named(node):
            if name not in known:
                message = f"the relay has no interface '{name}'{did_you_mean(name, known)}"
                hint = f"known: {listed(known)}; others are defined in relay.interfaces"
                findings.error(node, "unknown-interface", message, *path, hint=hint)


def _named(node: Node) -> Iterator[tuple[str, tuple[str, ...]]]:
    for gateway in node.gateways.values():
        if gateway.interface is not None:
            yield gateway.interface, ("gateways", gateway.name, "media", "interface")
    for trunk in node.trunks.values():
        if trunk.interface is not None:
            yield trunk.interface, ("trunks", trunk.name, "interface")
