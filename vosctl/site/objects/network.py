"""Builds the relay and the packet filter policy of a node."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address

from vosctl.firewall.signatures import GENUINE, SHIPPED, resolve
from vosctl.site.filtering import Bans, Logging, LogTo
from vosctl.site.model import Address, Budget, Firewall, PortRange, Relay, Signature, Unmatched
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.operation import (
    build_alerts,
    build_firewall_watch,
    build_interfaces,
    build_limits,
    build_metrics,
)
from vosctl.site.objects.probes import build_probes
from vosctl.site.objects.scalars import (
    parse_address,
    parse_duration,
    parse_endpoint,
    parse_peer,
    parse_ports,
)
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import Mark, Scalar

# What is assumed where a layer removed the packaged default with null.
_PORTS = PortRange(16384, 32767)
_NG = (ip_address("127.0.0.1"), 2223)
_TIMEOUT = timedelta(seconds=30)
_DRAIN = timedelta(minutes=10)
_METERED = ("REGISTER", "INVITE", "OPTIONS", "other", "connect", "stream")
_TCP_CONNECTIONS = 10

_SHORTEST_WORD = 4


def build_relay(fields: Fields, host: str, mark: Mark) -> Relay:
    """Return the node's relay; ``host`` is how the node is reached, ``mark`` where it is named."""
    enabled = fields.boolean("enabled", default=True)
    addresses = fields.all_parsed("addresses", parse_address)
    if "addresses" not in fields:
        addresses = _address_of(host)
        if enabled and not addresses:
            message = f"the relay has no address: '{host}' is a name, and names are not looked up"
            hint = "add relay: {addresses: [192.0.2.1]}"
            fields.problems.error("relay-address", message, mark, path=fields.at("addresses"), hint=hint)
    if len({address.version for address in addresses}) < len(addresses):
        message = "the relay takes one IPv4 and one IPv6 address at the most"
        fields.error("relay-address", message, key="addresses", hint="keep one address of each family")
    return Relay(
        enabled=enabled,
        addresses=addresses,
        ng=fields.parsed("ng", parse_endpoint) or _NG,
        ports=fields.parsed("ports", parse_ports) or _PORTS,
        rtp_timeout=fields.parsed("rtp_timeout", parse_duration) or _TIMEOUT,
        mark=fields.tree.mark if fields.tree.items else mark,
        interfaces=build_interfaces(fields.below("interfaces")),
        limits=build_limits(fields),
        metrics=build_metrics(fields),
        alerts=build_alerts(fields),
        recordings=fields.text("recordings") or "",
        low_latency=fields.boolean("low_latency", default=False),
        kernel_path=fields.boolean("kernel_path", default=False),
        drain=_DRAIN if (drain := fields.parsed("drain", _drain)) is None else drain,
    )


def _drain(value: Scalar) -> timedelta:
    return timedelta() if value.text.rstrip("smhd") == "0" else parse_duration(value)


def _address_of(host: str) -> tuple[Address, ...]:
    try:
        return (ip_address(host),)
    except ValueError:
        return ()


def build_firewall(fields: Fields, mark: Mark) -> Firewall:
    """Return the node's packet filter policy; ``mark`` is where the node is named."""
    sip = fields.below("sip")
    return Firewall(
        enabled=fields.boolean("enabled", default=True),
        sip_udp=sip.integers("udp"),
        sip_tcp=sip.integers("tcp"),
        sip_tls=sip.integers("tls"),
        admin=fields.all_parsed("admin", parse_peer),
        management=_management(fields.below("management")),
        trusted=fields.all_parsed("trusted", parse_peer),
        signatures=_signatures(fields.below("signatures")),
        budgets=_budgets(fields.below("budgets")),
        network_factor=fields.integer("network_factor") or 0,
        tcp_connections=fields.integer("tcp_connections") or _TCP_CONNECTIONS,
        rtp=fields.parsed("rtp", parse_ports),
        mark=fields.tree.mark if fields.tree.items else mark,
        default=Unmatched.RETURN if fields.text("default") == Unmatched.RETURN.value else Unmatched.DROP,
        watch=build_firewall_watch(fields),
        log=_logging(fields.below("log")),
        bans=_bans(fields.below("bans")),
        tests=build_probes(fields.below("tests")),
    )


def _management(fields: Fields) -> Mapping[str, tuple[int, ...]]:
    return {service: fields.integers(service) for service in fields.tree.items}


def _signatures(fields: Fields) -> tuple[Signature, ...]:
    """Return the shipped signatures with the site's own added and the unwanted ones removed."""
    added = []
    for entry in fields.listed_mappings("add"):
        text = entry.text("text")
        if text:
            _check_word(entry, text)
            added.append(Signature(text, entry.text("source") or "this site", entry.path))
    shipped = {signature.text.casefold(): signature.text for signature in SHIPPED}
    for path, item in fields.scalars("remove"):
        if item.text.casefold() not in shipped:
            message = f"no signature is '{item.text}'{did_you_mean(item.text, shipped.values())}"
            fields.problems.error(
                "unknown-signature",
                message,
                item.mark,
                path=path,
                hint=f"shipped: {listed(shipped.values(), most=30)}",
            )
    return resolve(added, fields.texts("remove"))


def _check_word(entry: Fields, text: str) -> None:
    genuine = GENUINE.get(text.casefold())
    if genuine:
        entry.warn(
            "signature-genuine", f"'{text}' hits genuine peers: {genuine}", key="text", hint="take it out"
        )
    elif len(text) < _SHORTEST_WORD:
        message = f"'{text}' is so short that it hits genuine peers too"
        entry.warn("signature-short", message, key="text", hint=f"use {_SHORTEST_WORD} characters or more")


def _budgets(fields: Fields) -> Mapping[str, Budget]:
    return {
        method: Budget(entry.integer("rate") or 0, entry.integer("burst") or 0)
        for method, entry in fields.entries()
        if method in _METERED
    }


def _logging(fields: Fields) -> Logging:
    text, given = fields.text("to"), Logging()
    to = next((each for each in LogTo if each.value == text), given.to)
    group = fields.integer("group")
    return Logging(to, given.group if group is None else group, fields.integer("rate") or given.rate)


def _bans(fields: Fields) -> Bans:
    given = Bans()
    return Bans(
        fields.boolean("automatic", default=given.automatic),
        fields.parsed("first", parse_duration) or given.first,
        fields.parsed("second", parse_duration) or given.second,
        fields.parsed("later", parse_duration) or given.later,
    )
