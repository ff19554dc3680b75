"""Builds how a relay is operated: its interfaces, its own limits, metrics and alerts; and of a packet filter."""

from __future__ import annotations

from datetime import timedelta

from vosctl.secret import Secret
from vosctl.site.model import FirewallWatch, Interface, Limits
from vosctl.site.monitoring import Alerts, Metrics
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import parse_address, parse_duration, parse_endpoint, parse_peer
from vosctl.site.tree import Scalar

DEFAULT_INTERFACE = "default"

# Percent and milliseconds: from there on people begin to notice.
_LOSS, _JITTER, _LATENCY = 1.0, 30.0, 200.0
_INTERVAL = timedelta(seconds=10)

# Percent of the room there is, and dropped packets a second: more than the scanners of every day.
_CONNTRACK, _DROPS, _BANS = 80.0, 1000.0, 90.0
_WATCH_INTERVAL = timedelta(seconds=30)


def build_interfaces(table: Fields) -> tuple[Interface, ...]:
    """Return the named interfaces; the one of ``relay.addresses`` is not among them."""
    return tuple(_interface(name, fields) for name, fields in table.entries())


def _interface(name: str, fields: Fields) -> Interface:
    if name == DEFAULT_INTERFACE:
        message = f"'{DEFAULT_INTERFACE}' is the interface of relay.addresses"
        fields.error("relay-interface", message, hint="give this one another name")
    addresses = fields.all_parsed("addresses", parse_address)
    advertised = fields.all_parsed("advertised", parse_address)
    if not addresses:
        message = f"interface '{name}' has no address to bind"
        fields.error(
            "relay-interface", message, hint="addresses: [192.0.2.1], as `ip address` shows it on the node"
        )
    for key, found in (("addresses", addresses), ("advertised", advertised)):
        if len({address.version for address in found}) < len(found):
            message = f"interface '{name}' takes one IPv4 and one IPv6 address at the most"
            fields.error("relay-interface", message, key=key, hint="keep one address of each family")
    return Interface(name, addresses, advertised, fields.all_parsed("networks", parse_peer))


def build_limits(fields: Fields) -> Limits | None:
    """Return the relay's own admission limits, None where there are none."""
    if "limits" not in fields:
        return None
    own = fields.below("limits")
    duration = own.parsed("duration", parse_duration) or timedelta()
    return Limits(own.integer("cps") or 0, own.integer("concurrent") or 0, duration)


def build_metrics(fields: Fields) -> Metrics | None:
    """Return where the metrics go, None where nowhere."""
    if "metrics" not in fields:
        return None
    own = fields.below("metrics")
    return Metrics(own.parsed("listen", parse_endpoint), own.text("textfile"))


def build_alerts(fields: Fields) -> Alerts | None:
    """Return the thresholds of alerts, None where the relay's own are kept."""
    if "alerts" not in fields:
        return None
    own = fields.below("alerts")
    webhook = own.text("webhook")
    return Alerts(
        loss=_number(own, "loss", _LOSS),
        jitter=_number(own, "jitter", _JITTER),
        latency=_number(own, "latency", _LATENCY),
        interval=own.parsed("interval", parse_duration) or _INTERVAL,
        webhook=None if webhook is None else Secret(webhook),
    )


def build_firewall_watch(fields: Fields) -> FirewallWatch | None:
    """Return how the packet filter is watched, None where it is not."""
    if "alerts" not in fields and "metrics" not in fields:
        return None
    own = fields.below("alerts")
    webhook = own.text("webhook")
    alerts = "alerts" in fields
    return FirewallWatch(
        textfile=fields.below("metrics").text("textfile"),
        conntrack=_number(own, "conntrack", _CONNTRACK) if alerts else 0.0,
        drops=_number(own, "drops", _DROPS) if alerts else 0.0,
        bans=_number(own, "bans", _BANS) if alerts else 0.0,
        interval=own.parsed("interval", parse_duration) or _WATCH_INTERVAL,
        webhook=None if webhook is None else Secret(webhook),
    )


def _number(fields: Fields, key: str, default: float) -> float:
    value = fields.tree.items.get(key)
    if isinstance(value, Scalar) and isinstance(value.value, (int, float)) and type(value.value) is not bool:
        return float(value.value)
    return default
