"""The parts of ``relay.json`` that say how the relay is operated: limits, proxy mode, interfaces, metrics, alerts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from vosctl.relay.control.addresses import ip_address

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# From the weakest to the strongest: what two ends say of one call, the stronger wins.
PROXY_MODES = ("off", "auto", "on", "must_on")
DEFAULT = "default"
_MOST = {"cps": 100_000, "concurrent": 1_000_000, "duration": 30 * 86400}
_THRESHOLDS = ("loss", "jitter", "latency")


class SettingError(ValueError):
    """A setting is wrong; the message begins with its name."""


@dataclass(frozen=True)
class Limits:
    """Admission limits: calls a second, calls at once, longest call in seconds; 0 is no limit."""

    cps: int = 0
    concurrent: int = 0
    duration: int = 0


@dataclass(frozen=True)
class Interface:
    """A named side of the relay: what it binds, what it writes into SDP (the same, where nothing is said).

    ``networks`` are those that are reached by it.
    """

    name: str
    addresses: Tuple[str, ...]
    advertised: Tuple[str, ...] = ()
    networks: Tuple[Network, ...] = ()

    def of(self, family: int) -> Optional[Tuple[str, str]]:
        """Return the bound and the advertised address of IP version ``family``."""
        bound, shown = _of(self.addresses, family), _of(self.advertised, family)
        return None if bound is None else (bound, shown or bound)

    def reaches(self, address: str) -> bool:
        """Tell whether ``address`` is in one of its networks."""
        found = ip_address(address)
        return any(found.version == network.version and found in network for network in self.networks)


@dataclass(frozen=True)
class Metrics:
    """Where Prometheus' text goes: an address that answers HTTP, a file for node_exporter, or both."""

    listen: Optional[Tuple[str, int]] = None
    textfile: str = ""


@dataclass(frozen=True)
class Alerts:
    """Thresholds in percent and ms (0: never), and how many seconds are looked at together."""

    loss: float = 1.0
    jitter: float = 30.0
    latency: float = 200.0
    interval: float = 10.0


NO_LIMITS = Limits()
NO_METRICS = Metrics()
DEFAULT_ALERTS = Alerts()


def _of(addresses: Iterable[str], family: int) -> Optional[str]:
    return next((a for a in addresses if ip_address(a).version == family), None)


def read_limits(tree: Any) -> Limits:
    """Return the limits in ``{"cps", "concurrent", "duration"}``. Raises ``SettingError``."""
    return Limits(*(_whole(_object(tree), name, _MOST[name]) for name in ("cps", "concurrent", "duration")))


def read_proxy(value: Any) -> str:
    """Return the media proxy mode. Raises ``SettingError``."""
    if value not in PROXY_MODES:
        raise SettingError(f"must be one of {', '.join(PROXY_MODES)}")
    return str(value)


def read_interfaces(tree: Any, addresses: Tuple[str, ...]) -> Tuple[Interface, ...]:
    """Return the interfaces, the one of ``addresses`` first, under the name ``default``. Raises ``SettingError``."""
    found = [Interface(DEFAULT, addresses)]
    for name, item in _object(tree).items():
        if name == DEFAULT:
            raise SettingError(f"{DEFAULT}: is the interface of `addresses`")
        fields = _object(item, f"{name}: ")
        interface = Interface(
            name,
            tuple(map(str, _addresses(fields, name, "addresses"))),
            tuple(map(str, _addresses(fields, name, "advertised"))),
            tuple(_networks(fields, name)),
        )
        if not interface.addresses:
            raise SettingError(f"{name}.addresses: must name at least one address of this node")
        found.append(interface)
    return tuple(found)


def read_metrics(tree: Any) -> Metrics:
    """Return where the metrics go. Raises ``SettingError``."""
    fields = _object(tree)
    textfile = fields.get("textfile", "")
    if not isinstance(textfile, str) or (textfile and not textfile.startswith("/")):
        raise SettingError("textfile: must be an absolute path")
    listen = fields.get("listen")
    if listen is None:
        return Metrics(None, textfile)
    if not isinstance(listen, list) or len(listen) != 2 or type(listen[1]) is not int:
        raise SettingError('listen: must be ["address", port]')
    if not 0 <= listen[1] <= 65535:
        raise SettingError("listen: the port must be 0 to 65535")
    return Metrics((str(_address(listen[0], "listen")), listen[1]), textfile)


def read_alerts(tree: Any) -> Alerts:
    """Return the thresholds of alerts. Raises ``SettingError``."""
    fields = _object(tree)
    base = Alerts()
    values = [_real(fields, name, 0, getattr(base, name)) for name in _THRESHOLDS]
    return Alerts(values[0], values[1], values[2], _real(fields, "interval", 0.1, base.interval))


def _object(tree: Any, where: str = "") -> Dict[str, Any]:
    if not isinstance(tree, dict):
        raise SettingError(f"{where}must be an object")
    return tree


def _whole(tree: Dict[str, Any], name: str, most: int) -> int:
    value = tree.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise SettingError(f"{name}: must be a whole number from 0 to {most}")
    return value


def _real(tree: Dict[str, Any], name: str, low: float, default: float) -> float:
    value = tree.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= 86400:
        raise SettingError(f"{name}: must be a number from {low} to 86400")
    return float(value)


def _address(value: Any, where: str) -> Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError as error:
        raise SettingError(f"{where}: {error}") from None


def _texts(tree: Dict[str, Any], interface: str, name: str) -> List[str]:
    value = tree.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingError(f"{interface}.{name}: must be a list of strings")
    return value


def _addresses(tree: Dict[str, Any], interface: str, name: str) -> List[Any]:
    found = [_address(text, f"{interface}.{name}") for text in _texts(tree, interface, name)]
    if len({address.version for address in found}) < len(found):
        raise SettingError(f"{interface}.{name}: one IPv4 and one IPv6 address at the most")
    return found


def _networks(tree: Dict[str, Any], interface: str) -> List[Network]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in _texts(tree, interface, "networks")]
    except ValueError as error:
        raise SettingError(f"{interface}.networks: {error}") from None
