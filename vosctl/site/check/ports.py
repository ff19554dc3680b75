"""Cross checks of ports and of the way in: media ports, their neighbours, and the controller's own access."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vosctl.site.check.findings import Findings
from vosctl.site.model import Node, PortRange
from vosctl.site.suggest import listed

PORTS_OF_A_CALL = 4
_EPHEMERAL = "net.ipv4.ip_local_port_range"
_RESERVED = "net.ipv4.ip_local_reserved_ports"
_LAST_PORT = 65535
_KERNEL_DEFAULT = PortRange(32768, 60999)


def check_media_ports(findings: Findings) -> None:
    """Check that the relay's ports are open, enough, and nobody else's."""
    for node in findings.nodes():
        if node.relay.enabled:
            _check_open(findings, node)
            _check_enough(findings, node)
            _check_ephemeral(findings, node)
            _check_other_ports(findings, node)


def _check_open(findings: Findings, node: Node) -> None:
    ports, opened = node.relay.ports, node.firewall.rtp
    if node.firewall.enabled and opened is not None and not opened.contains(ports):
        message = f"the firewall opens {opened} for media, but the relay uses {ports}: calls would be silent"
        hint = "take firewall.rtp out (the relay's ports are opened by themselves), or make it hold them"
        findings.error(node, "rtp-closed", message, "firewall", "rtp", hint=hint)


def _check_enough(findings: Findings, node: Node) -> None:
    ports = node.relay.ports
    most = (ports.last - ports.first + 1) // PORTS_OF_A_CALL
    if most < node.media.calls:
        message = f"relay ports {ports} are enough for {most} calls, but media.calls is {node.media.calls}"
        findings.warn(node, "rtp-too-few", message, "relay", "ports", hint="a call takes four ports")


def _check_ephemeral(findings: Findings, node: Node) -> None:
    own = node.sysctl.get(_EPHEMERAL)
    taken = _KERNEL_DEFAULT if own is None else _range(own)
    if taken is None:
        message = f"'{own}' is not a range of ports"
        findings.error(node, "bad-ports", message, "sysctl", _EPHEMERAL, hint='write "10000 16000"')
        return
    ports = node.relay.ports
    reserved = list(_reserved(node.sysctl.get(_RESERVED, "")))
    if not taken.overlaps(ports) or any(entry.contains(ports) for entry in reserved):
        return
    whose = "the kernel's default" if own is None else "as set under sysctl"
    message = f"relay ports {ports} overlap ip_local_port_range {taken} ({whose}): other programs take them"
    hint = f'keep them apart, or reserve them: {_RESERVED}: "{ports}"'
    findings.error(node, "rtp-ephemeral", message, "relay", "ports", hint=hint)


def _range(text: str) -> PortRange | None:
    match = re.fullmatch(r"([0-9]{1,5})[\s]+([0-9]{1,5})", text.strip())
    if match is None or not 0 < int(match[1]) <= int(match[2]) <= _LAST_PORT:
        return None
    return PortRange(int(match[1]), int(match[2]))


def _reserved(text: str) -> Iterator[PortRange]:
    for match in re.finditer(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text):
        yield PortRange(int(match[1]), int(match[2] or match[1]))


def _check_other_ports(findings: Findings, node: Node) -> None:
    ports, firewall = node.relay.ports, node.firewall
    inside = [port for port in firewall.sip_udp if ports.first <= port <= ports.last]
    if inside:
        message = f"relay ports {ports} hold the SIP port {listed(map(str, inside))}"
        findings.error(
            node, "rtp-holds-port", message, "relay", "ports", hint="two programs cannot have one UDP port"
        )
    if ports.first <= node.relay.ng[1] <= ports.last:
        message = f"relay ports {ports} hold the NG port {node.relay.ng[1]}"
        findings.error(node, "rtp-holds-port", message, "relay", "ng", hint="the NG port is UDP too; move it")
    streams = {
        *firewall.sip_tcp,
        *firewall.sip_tls,
        *(p for some in firewall.management.values() for p in some),
    }
    near = sorted(port for port in streams if ports.first <= port <= ports.last)
    if near:
        message = f"the TCP port {listed(map(str, near))} lies inside the relay ports {ports}"
        hint = "media is UDP, so both work; filters and captures by port number will mix them up"
        findings.warn(node, "rtp-near-port", message, "relay", "ports", hint=hint)


def check_relay_addresses(findings: Findings) -> None:
    """Check that two relays on one address do not share ports."""
    taken: dict[str, list[Node]] = {}
    reported: set[tuple[str, str]] = set()
    for node in findings.nodes():
        for address in node.relay.addresses if node.relay.enabled else ():
            if address.is_loopback and node.connection.kind != "local":
                continue
            for other in taken.setdefault(str(address), []):
                if other.relay.ports.overlaps(node.relay.ports) and (other.name, node.name) not in reported:
                    reported.add((other.name, node.name))
                    _report_overlap(findings, other, node, str(address))
            taken[str(address)].append(node)


def _report_overlap(findings: Findings, first: Node, second: Node, address: str) -> None:
    message = (
        f"the relays of {first.name} and {second.name} both use {address} and ports {second.relay.ports}"
    )
    written = findings.built.fields[second.name].below("relay")
    field = "addresses" if "addresses" in written else "ports"
    hint = "give them different ports or addresses"
    findings.error(second, "rtp-overlap", message, "relay", field, hint=hint, named=False)


def check_trunk_families(findings: Findings) -> None:
    """Check that the relays at both ends of a trunk can reach each other: both IPv4, or both IPv6."""
    nodes = findings.built.site.nodes
    for trunk in findings.built.trunks.values():
        ends = [nodes[end] for end in trunk.ends if end in nodes and nodes[end].relay.enabled]
        families = [{address.version for address in node.relay.addresses} for node in ends]
        if len(ends) == len(trunk.ends) and all(families) and not set.intersection(*families):
            message = f"the relays of {ends[0].name} and {ends[1].name}, which trunk '{trunk.name}' joins, have no address family in common"
            hint = "give one of them an address of the other's family"
            findings.error(ends[1], "relay-family", message, "relay", "addresses", hint=hint)


def check_admin(findings: Findings) -> None:
    """Check that the firewall leaves the controller a way in."""
    for node in findings.nodes():
        firewall = node.firewall
        if not firewall.enabled:
            continue
        written = findings.built.fields[node.name].below("firewall")
        if not firewall.admin and not any(written.scalars("admin")):
            message = (
                "no admin network is given: the firewall would close SSH to everybody, this controller too"
            )
            hint = "add firewall: {admin: [198.51.100.0/24]} with the network of the machine that runs vosctl"
            findings.error(node, "admin-missing", message, "firewall", "admin", hint=hint)
        opened = {port for ports in firewall.management.values() for port in ports}
        port = node.connection.port
        if node.connection.kind == "ssh" and port <= _LAST_PORT and port not in opened:
            message = f"SSH is on port {port}, which firewall.management does not open"
            hint = f"add firewall: {{management: {{ssh: [{port}]}}}}"
            findings.error(node, "admin-port", message, "firewall", "management", hint=hint)
