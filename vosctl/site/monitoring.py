"""How a relay is watched: where its metrics go, and which figures of a call somebody is told of."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from vosctl.secret import Secret


class Metrics(Struct, frozen=True):
    """Where the relay's metrics go: an address that answers HTTP, a file for node_exporter, or both."""

    listen: tuple[IPv4Address | IPv6Address, int] | None
    textfile: str | None


class Alerts(Struct, frozen=True):
    """Thresholds in percent and milliseconds (0: never), what is looked at together, and who is told."""

    loss: float
    jitter: float
    latency: float
    interval: timedelta
    webhook: Secret | None
