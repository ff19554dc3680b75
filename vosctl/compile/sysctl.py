"""Kernel settings sized from what the node carries, each with its reason, and the operator's own over them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from msgspec import Struct

from vosctl.compile.desired import File, Sysctl
from vosctl.compile.text import render
from vosctl.firewall.capacity import (
    CONNECTIONS_KEY,
    FEWEST_CONNECTIONS,
    FLOWS_PER_CALL,
    UDP_TIMEOUT,
    tracked_connections,
)
from vosctl.site.model import Node, PortRange

PATH = "/etc/sysctl.d/90-vosctl.conf"
MODULES_PATH = "/etc/modules-load.d/vosctl.conf"

# Settings of the whole machine: a container's network namespace sees them read-only or not at all.
HOST_WIDE = frozenset(
    {
        "net.core.netdev_budget",
        "net.core.netdev_max_backlog",
        "net.core.rmem_default",
        "net.core.rmem_max",
        "net.core.wmem_default",
        "net.core.wmem_max",
        "net.ipv4.tcp_mem",
        "net.ipv4.udp_mem",
        "net.netfilter.nf_conntrack_buckets",
        "net.netfilter.nf_conntrack_max",
    }
)
_HOST_WIDE_TREES = ("dev.", "fs.", "kernel.", "vm.")

_PACKET_MEMORY = 1280  # what the kernel charges a socket for a packet with 20 ms of G.711
_STALL_MS = 50
_TURN_MS = 20
_SMALLEST_BUFFER = 4 << 20
_LARGEST_BUFFER = 128 << 20
_SMALLEST_BUDGET = 300  # the kernel's own
_LARGEST_BUDGET = 3000
_BUDGET_MS = 4
_SMALLEST_BACKLOG = 5000
_LARGEST_BACKLOG = 300_000


class Setting(Struct, frozen=True):
    """A setting and the reason for its value."""

    key: str
    value: str
    reason: str


def settings(node: Node) -> tuple[Setting, ...]:
    """Return all settings by key; the operator's ``sysctl`` tree wins."""
    computed = {
        each.key: each for each in chain(_connections(node), _traffic(node), _sources(node), _ports(node))
    }
    own = {key: Setting(key, value, "set by the site (sysctl)") for key, value in node.sysctl.items()}
    return tuple(each for _, each in sorted({**computed, **own}.items()))


def sysctls(node: Node) -> tuple[Sysctl, ...]:
    """Return the settings as wanted state."""
    return tuple(Sysctl(each.key, each.value, _host_wide(each.key)) for each in settings(node))


def files(node: Node) -> tuple[File, ...]:
    """Return what sets the same values at boot, and loads the module first that some of them need."""
    found = [File(PATH, _text(settings(node)))]
    if node.firewall.enabled:
        found.append(File(MODULES_PATH, render("sysctl/modules.conf.j2")))
    return tuple(found)


@lru_cache(maxsize=64)
def _text(found: tuple[Setting, ...]) -> bytes:
    """Return the file with these settings; nodes of one kind have the same."""
    return render("sysctl/90-vosctl.conf.j2", settings=found)


def _host_wide(key: str) -> bool:
    return key in HOST_WIDE or key.startswith(_HOST_WIDE_TREES)


def _connections(node: Node) -> Iterator[Setting]:
    """Yield connection tracking's; without the firewall nothing is tracked, and the keys may not exist."""
    if not node.firewall.enabled:
        return
    calls = node.media.calls
    table = tracked_connections(node)
    prefix = "net.netfilter.nf_conntrack"
    yield Setting(
        CONNECTIONS_KEY,
        str(table),
        f"media is not tracked, so this is signalling: {FLOWS_PER_CALL} flows for each of {calls} calls, "
        f"and at least {FEWEST_CONNECTIONS} so that a scan does not fill the table",
    )
    yield Setting(
        f"{prefix}_buckets",
        str(table),
        "as many as entries: a full table then has chains of two (each flow stands in it twice)",
    )
    for key, seconds, reason in (
        ("udp_timeout", UDP_TIMEOUT, "a scanner's single packets are forgotten soon"),
        ("udp_timeout_stream", 60, "signalling that went quiet frees its entry"),
        (
            "tcp_timeout_established",
            7200,
            "two hours instead of five days for connections that died silently",
        ),
    ):
        yield Setting(f"{prefix}_{key}", str(seconds), reason)


def _traffic(node: Node) -> Iterator[Setting]:
    calls, ptime = node.media.calls, node.media.ptime
    packets = calls * 2 * 1000 // ptime
    load = f"{calls} calls of {ptime} ms packets are {packets} packets a second in"
    needed = packets * _STALL_MS // 1000 * _PACKET_MEMORY
    buffer = min(max(_SMALLEST_BUFFER, _power_of_two(needed)), _LARGEST_BUFFER)
    for key in ("rmem_max", "wmem_max"):
        reason = f"{load}; one socket may hold {_STALL_MS} ms of them ({_PACKET_MEMORY} bytes of kernel memory each)"
        yield Setting(f"net.core.{key}", str(buffer), reason)
    backlog = min(max(_SMALLEST_BACKLOG, packets * _TURN_MS // 1000), _LARGEST_BACKLOG)
    yield Setting(
        "net.core.netdev_max_backlog",
        str(backlog),
        f"{load}; a processor that is busy for {_TURN_MS} ms drops none",
    )
    budget = min(max(_SMALLEST_BUDGET, packets * _BUDGET_MS // 1000), _LARGEST_BUDGET)
    yield Setting(
        "net.core.netdev_budget",
        str(budget),
        f"{load}; a processor takes {_BUDGET_MS} ms of them in one turn before it lets others run",
    )
    yield Setting("net.core.somaxconn", "4096", "SIP over TCP and TLS: connections that wait to be accepted")
    yield Setting(
        "net.ipv4.tcp_max_syn_backlog", "8192", "SIP over TCP and TLS: handshakes at once before cookies"
    )


def _sources(node: Node) -> Iterator[Setting]:
    if node.firewall.enabled:
        for interface in ("all", "default"):
            yield Setting(
                f"net.ipv4.conf.{interface}.rp_filter",
                "2",
                "a source that no route leads to is forged; any interface will do, so that a node with "
                "several providers may answer by another one (RFC 3704 section 2.4)",
            )


def _ports(node: Node) -> Iterator[Setting]:
    """Ports that programs listen on must not be given to outgoing connections."""
    firewall = node.firewall
    listened = {*firewall.sip_udp, *firewall.sip_tcp, *firewall.sip_tls}
    ranges = [PortRange(port, port) for port in listened]
    if node.relay.enabled:
        ranges += [node.relay.ports, PortRange(node.relay.ng[1], node.relay.ng[1])]
    if ranges:
        yield Setting(
            "net.ipv4.ip_local_reserved_ports",
            ",".join(_range(ports) for ports in _merged(ranges)),
            "media and SIP ports are never given to outgoing connections",
        )


def _merged(ranges: list[PortRange]) -> list[PortRange]:
    """Return the ranges in order, those that touch joined: the kernel gives them back so."""
    merged: list[PortRange] = []
    for ports in sorted(ranges, key=lambda ports: (ports.first, ports.last)):
        if merged and ports.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, ports.last))
        else:
            merged.append(ports)
    return merged


def _range(ports: PortRange) -> str:
    return f"{ports.first}" if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _power_of_two(value: int) -> int:
    return 1 << max(value - 1, 0).bit_length()
