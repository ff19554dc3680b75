"""Cross checks of gateways against each other and the firewall: addresses, trust and codecs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vosctl.site.check.findings import Findings
from vosctl.site.model import Auth, Gateway, GatewayType, Network, Node
from vosctl.site.suggest import listed

Codecs = tuple[str, ...]


def check_trust(findings: Findings) -> None:
    """Check that a firewall is on that lets in by address who is recognised by address."""
    seen: set[tuple[int, int]] = set()
    for node in findings.nodes():
        by_address = [gateway for gateway in node.gateways.values() if gateway.auth is not Auth.PASSWORD]
        if by_address and not node.firewall.enabled:
            message = "the firewall is off, so nothing else guards the gateways that are known by their address alone"
            hint = "firewall: {enabled: true}, or filter in front of the node"
            findings.warn(node, "firewall-off", message, "firewall", "enabled", hint=hint)
        elif node.firewall.enabled and (pair := (id(node.gateways), id(node.firewall))) not in seen:
            seen.add(pair)
            _check_untrusted(findings, node, by_address)


def _check_untrusted(findings: Findings, node: Node, by_address: Iterable[Gateway]) -> None:
    if not any(gateway.auth is Auth.PASSWORD and gateway.networks for gateway in node.gateways.values()):
        return
    exact = {network for gateway in by_address for network in gateway.networks}
    wide = [network for network in exact if network.num_addresses > 1]
    trusted = [*node.firewall.trusted, *wide]
    for gateway in node.gateways.values():
        if gateway.auth is not Auth.PASSWORD:
            continue
        strange = [net for net in gateway.networks if net not in exact and not _inside(net, trusted)]
        if strange:
            message = (
                f"{listed(map(_shown, strange))} of '{gateway.name}' is in no trusted set: with auth: password"
                " addresses do not enter it, and the budgets of strangers hold for its calls"
            )
            hint = "add them to firewall.trusted, or leave addresses out if they change"
            findings.warn(
                node,
                "gateway-untrusted",
                message,
                "gateways",
                gateway.name,
                "addresses",
                hint=hint,
                named=False,
            )


def _shown(network: Network) -> str:
    return str(network.network_address if network.num_addresses == 1 else network)


def _inside(network: Network, others: Iterable[Network]) -> bool:
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in others
    )


def check_admin_peers(findings: Findings) -> None:
    """Check that no peer is an administrator by its address alone."""
    seen: set[tuple[int, int]] = set()
    for node in findings.nodes():
        pair = id(node.gateways), id(node.firewall)
        if node.firewall.enabled and pair not in seen:
            seen.add(pair)
            for admin in node.firewall.admin:
                _check_admin(findings, node, admin)


def _check_admin(findings: Findings, node: Node, admin: Network) -> None:
    inside = [
        gateway.name
        for gateway in node.gateways.values()
        if any(net.version == admin.version and net.overlaps(admin) for net in gateway.networks)
    ]
    if inside:
        message = f"{_shown(admin)} holds gateway {listed(inside, most=3)}, which reaches every management port with it"
        hint = "name the administrators' own networks, without peers in them"
        findings.warn(node, "admin-holds-peer", message, "firewall", "admin", hint=hint, named=False)


def check_shared_addresses(findings: Findings) -> None:
    """Check that a call's address tells whose it is."""
    every = {id(gateway): gateway for node in findings.nodes() for gateway in node.gateways.values()}
    holders: dict[tuple[GatewayType, Network, int | None], list[Gateway]] = {}
    for gateway in every.values():
        if gateway.auth is not Auth.PASSWORD:
            port = gateway.port if gateway.auth is Auth.IP_PORT else None
            for network in gateway.networks:
                holders.setdefault((gateway.type, network, port), []).append(gateway)
    for (_, network, _), gateways in holders.items():
        for index, gateway in enumerate(gateways[1:], start=1):
            node, other = _rival(findings, gateway, gateways[:index])
            if node is not None and other is not None:
                _report_shared(findings, node, gateway, other, network)


def _rival(
    findings: Findings, gateway: Gateway, others: Iterable[Gateway]
) -> tuple[Node, Gateway] | tuple[None, None]:
    """Return a node that has the gateway beside one of the others, and that one."""
    for other in others:
        if other.name == gateway.name:
            continue  # the same gateway, as another host has it
        for node in findings.nodes():
            if node.gateways.get(gateway.name) is gateway and node.gateways.get(other.name) is other:
                return node, other
    return None, None


def _report_shared(
    findings: Findings, node: Node, gateway: Gateway, other: Gateway, network: Network
) -> None:
    path = ("gateways", gateway.name, "addresses")
    where = _shown(network)
    if gateway.type is GatewayType.MAPPING:
        message = f"{where} is also an address of '{other.name}': its calls could be either customer's"
        hint = "tell them apart by source port (auth: ip+port) or by password"
        findings.error(node, "gateway-address-shared", message, *path, hint=hint, named=False)
    else:
        message = f"{where} is also an address of the vendor '{other.name}'"
        hint = "the proxy must then name the gateway of each call (vos-to)"
        findings.warn(node, "gateway-address-shared", message, *path, hint=hint, named=False)


def check_codecs(findings: Findings) -> None:
    """Check that customers share a codec with the vendors in their reach, and gateways with their trunks."""
    codecs = {id(node.gateways): _by_codecs(node.gateways) for node in findings.nodes()}
    done: set[tuple[int, int]] = set()
    nodes = findings.built.site.nodes
    for node in findings.nodes():
        peers = [
            nodes[trunk.other(node.name)] for trunk in node.trunks.values() if trunk.other(node.name) in nodes
        ]
        for far in (node, *peers):
            if (pair := (id(node.gateways), id(far.gateways))) not in done:
                done.add(pair)
                customers = codecs[id(node.gateways)][GatewayType.MAPPING]
                _check_pair(findings, node, customers, codecs[id(far.gateways)][GatewayType.ROUTING])
        _check_trunk_codecs(findings, node, codecs[id(node.gateways)])


def _by_codecs(gateways: Mapping[str, Gateway]) -> Mapping[GatewayType, Mapping[Codecs, list[str]]]:
    found: dict[GatewayType, dict[Codecs, list[str]]] = {kind: {} for kind in GatewayType}
    for gateway in gateways.values():
        found[gateway.type].setdefault(gateway.codecs, []).append(gateway.name)
    return found


def _check_pair(
    findings: Findings, node: Node, customers: Mapping[Codecs, list[str]], vendors: Mapping[Codecs, list[str]]
) -> None:
    for codecs, names in customers.items():
        apart = {have: who for have, who in vendors.items() if not set(have) & set(codecs)}
        if apart:
            others = [name for who in apart.values() for name in who]
            every = _joined(dict.fromkeys(codec for have in apart for codec in have))
            message = (
                f"{_who('customer', names)} ({', '.join(codecs)}) and {_who('vendor', others)} ({every}) have no codec"
                " in common: calls between them need transcoding, which the relay does not do"
            )
            hint = "give both a common codec, or route these customers to other vendors"
            findings.warn(
                node, "transcoding", message, "gateways", names[0], "codecs", hint=hint, named=False
            )


def _joined(codecs: Iterable[str]) -> str:
    """Return codecs in their order of preference."""
    return ", ".join(codecs)


def _who(kind: str, names: list[str]) -> str:
    return f"{kind} {names[0]}" if len(names) == 1 else f"{kind}s {listed(names, most=4)}"


def _check_trunk_codecs(
    findings: Findings, node: Node, gateways: Mapping[GatewayType, Mapping[Codecs, list[str]]]
) -> None:
    for trunk in node.trunks.values():
        if not trunk.codecs:
            continue
        apart = [
            name
            for by_codecs in gateways.values()
            for codecs, names in by_codecs.items()
            if not set(codecs) & set(trunk.codecs)
            for name in names
        ]
        if apart:
            message = (
                f"the trunk ({', '.join(trunk.codecs)}) has no codec in common with"
                f" {_who('gateway', apart)}: their calls over it need transcoding, which the relay does not do"
            )
            fields = findings.built.trunk_fields[trunk.name]
            fields.warn("transcoding", message, key="codecs", hint="add a codec that they have")
