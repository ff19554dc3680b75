"""Read and check ``relay.json`` and ``relay-keys.json``: everything wrong is told at once, and nothing half taken."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, TypeVar

from vosctl.errors import RelayError
from vosctl.relay.control import crypto_attr, settings
from vosctl.relay.control.jitter import read_buffer
from vosctl.relay.control.peers import KEY_LENGTHS, SRTP, Directory, Network, Peer
from vosctl.relay.control.settings import (
    DEFAULT_ALERTS,
    NO_LIMITS,
    NO_METRICS,
    Alerts,
    Interface,
    Limits,
    Metrics,
)

_T = TypeVar("_T")

MAX_BYTES = 64 << 20
LEARN = ("sdp", "nat", "any")
ALNUM = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Config:
    """One node's relay configuration; ``digest`` is the SHA-256 of relay.json as it was read."""

    node: str
    addresses: Tuple[str, ...]
    ng: Tuple[str, int]
    ports: Tuple[int, int]
    dscp: int
    rtp_timeout: int
    peers: Dict[str, Peer]
    digest: str
    keys: Dict[str, str] = field(repr=False)
    directory: Directory = field(repr=False)
    interfaces: Tuple[Interface, ...]
    proxy: str = "must_on"
    limits: Limits = NO_LIMITS
    metrics: Metrics = NO_METRICS
    alerts: Alerts = DEFAULT_ALERTS
    webhook: str = field(default="", repr=False)
    recordings: str = ""
    low_latency: bool = False
    kernel_path: bool = False

    def find(self, address: str) -> Optional[Peer]:
        """Return the trunk, else the gateway with the longest prefix, that ``address`` belongs to."""
        return self.directory.find(address)

    @property
    def bound(self) -> Tuple[str, ...]:
        """The addresses of all interfaces."""
        return tuple(dict.fromkeys(a for interface in self.interfaces for a in interface.addresses))

    def local(self, family: int) -> Optional[str]:
        """Return the first own address of IP version ``family``."""
        return next((a for a in self.addresses if ipaddress.ip_address(a).version == family), None)


def load(config: Path, keys: Path) -> Config:
    """Return the configuration in the two files. Raises ``RelayError`` that names every mistake."""
    raw = _read(config)
    reader = _Reader()
    tree = _parse(config, raw)
    secrets = _parse(keys, _read(keys))
    table = _keys(secrets, keys, reader)
    webhook = reader.webhook(secrets, f"{keys}: webhook")
    result = _config(tree, table, hashlib.sha256(raw).hexdigest(), reader)
    result = replace(result, webhook=webhook)
    if reader.mistakes:
        shown = "; ".join(reader.mistakes[:20])
        raise RelayError(f"{config}: {shown}", hint="correct the site and apply it again")
    return result


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RelayError(f"{path}: {error.strerror}", hint="apply the site to this node first") from error
    if len(raw) > MAX_BYTES:
        raise RelayError(f"{path}: larger than {MAX_BYTES} bytes")
    return raw


def _parse(path: Path, raw: bytes) -> Dict[str, Any]:
    try:
        tree = json.loads(raw.decode())
    except UnicodeDecodeError:
        raise RelayError(f"{path}: not UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        # The decoder's message quotes a place, never the text: a key cannot leak through it.
        raise RelayError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise RelayError(f"{path}: not a JSON object")
    return tree


class _Reader:
    """Takes typed fields out of a tree and collects what is wrong with them."""

    def __init__(self) -> None:
        self.mistakes: List[str] = []

    def wrong(self, path: str, text: str) -> None:
        self.mistakes.append(f"{path}: {text}")

    def text(self, tree: Dict[str, Any], path: str, name: str, default: Optional[str] = None) -> str:
        value = tree.get(name, default)
        if not isinstance(value, str):
            self.wrong(f"{path}{name}", "must be a string")
            return ""
        return value

    def number(self, tree: Dict[str, Any], name: str, low: int, high: int, default: int) -> int:
        value = tree.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(name, f"must be a whole number from {low} to {high}")
            return default
        return value

    def choice(self, tree: Dict[str, Any], path: str, name: str, choices: Tuple[str, ...]) -> str:
        value = tree.get(name, choices[0])
        if value not in choices:
            self.wrong(f"{path}{name}", f"must be one of {', '.join(choices)}")
            return choices[0]
        return str(value)

    def texts(self, tree: Dict[str, Any], path: str, name: str) -> Tuple[str, ...]:
        value = tree.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(f"{path}{name}", "must be a list of strings")
            return ()
        return tuple(value)

    def each(self, tree: Dict[str, Any], name: str) -> Dict[str, Dict[str, Any]]:
        value = tree.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
            self.wrong(name, "must be an object of objects")
            return {}
        return value

    def parsed(self, parse: Callable[[str], Any], items: Tuple[str, ...], path: str) -> Tuple[Any, ...]:
        try:
            return tuple(parse(item) for item in items)
        except ValueError as error:
            self.wrong(path, str(error))
            return ()

    def part(self, tree: Dict[str, Any], path: str, name: str, parse: Callable[[Any], _T], default: _T) -> _T:
        """Return what ``parse`` makes of the setting, ``default`` where it is absent or wrong."""
        if name not in tree:
            return default
        try:
            return parse(tree[name])
        except settings.SettingError as error:
            self.wrong(f"{path}{name}", str(error))
            return default

    def webhook(self, tree: Dict[str, Any], path: str) -> str:
        value = tree.get("webhook", "")
        if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
            # Its path may be what proves us to the other end: it is not shown.
            self.wrong(path, "must be a URL that begins with http:// or https://")
            return ""
        return value


def _keys(tree: Dict[str, Any], path: Path, reader: _Reader) -> Dict[str, str]:
    table = tree.get("keys")
    if not isinstance(table, dict):
        reader.wrong(str(path), "`keys` must be an object of strings")
        return {}
    result = {}
    for kid, value in table.items():
        if not crypto_attr.is_kid(kid):
            reader.wrong(
                f"{path}: keys", "a key id is 1 to 32 letters, digits, dots, hyphens and underscores"
            )
        elif not isinstance(value, str) or not ALNUM.fullmatch(value):
            reader.wrong(f"{path}: keys.{kid}", "the value must be ASCII letters and digits")
        else:
            result[kid] = value
    return result


def _config(tree: Dict[str, Any], keys: Dict[str, str], digest: str, reader: _Reader) -> Config:
    if tree.get("version") != 1:
        reader.wrong("version", "must be 1: this release reads no other")
    addresses = reader.parsed(ipaddress.ip_address, reader.texts(tree, "", "addresses"), "addresses")
    if not addresses:
        reader.wrong("addresses", "must name at least one address of this node")
    peers = {name: _gateway(name, item, reader) for name, item in reader.each(tree, "gateways").items()}
    for name, item in reader.each(tree, "trunks").items():
        if name in peers:
            reader.wrong(f"trunks.{name}", "is the name of a gateway too")
        peers[name] = _trunk(name, item, keys, reader)
    bound = tuple(str(address) for address in addresses)
    alone: Tuple[Interface, ...] = (Interface(settings.DEFAULT, bound),)
    read = functools.partial(settings.read_interfaces, addresses=bound)
    interfaces = reader.part(tree, "", "interfaces", read, alone)
    _check_interfaces(peers, interfaces, reader)
    return Config(
        node=reader.text(tree, "", "node"),
        addresses=bound,
        interfaces=interfaces,
        proxy=reader.part(tree, "", "proxy", settings.read_proxy, "must_on"),
        limits=reader.part(tree, "", "limits", settings.read_limits, NO_LIMITS),
        metrics=reader.part(tree, "", "metrics", settings.read_metrics, NO_METRICS),
        alerts=reader.part(tree, "", "alerts", settings.read_alerts, DEFAULT_ALERTS),
        ng=_ng(tree.get("ng"), reader),
        ports=_ports(tree.get("ports"), reader),
        dscp=reader.number(tree, "dscp", 0, 63, 46),
        rtp_timeout=reader.number(tree, "rtp_timeout", 1, 86400, 30),
        low_latency=_flag(tree, "low_latency", reader),
        kernel_path=_flag(tree, "kernel_path", reader),
        peers=peers,
        digest=digest,
        recordings=_folder(tree, reader),
        keys=keys,
        directory=Directory(peers.values()),
    )


def _flag(tree: Dict[str, Any], name: str, reader: _Reader) -> bool:
    value = tree.get(name, False)
    if not isinstance(value, bool):
        reader.wrong(name, "must be true or false")
    return value is True


def _check_interfaces(peers: Dict[str, Peer], interfaces: Iterable[Interface], reader: _Reader) -> None:
    known = [interface.name for interface in interfaces]
    for peer in peers.values():
        if peer.interface and peer.interface not in known:
            where = f"{'trunks' if peer.is_trunk else 'gateways'}.{peer.name}.interface"
            reader.wrong(where, f"no interface `{peer.interface}` ({', '.join(known)})")


def _operation(tree: Dict[str, Any], path: str, reader: _Reader) -> Dict[str, Any]:
    """Return what gateways and trunks say alike: limits, proxy mode, interface."""
    return {
        "limits": reader.part(tree, path, "limits", settings.read_limits, NO_LIMITS),
        "proxy": reader.part(tree, path, "proxy", settings.read_proxy, "must_on"),
        "interface": reader.text(tree, path, "interface", ""),
    }


def _ng(value: object, reader: _Reader) -> Tuple[str, int]:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int:
        found = reader.parsed(ipaddress.ip_address, (value[0],), "ng")
        if found and 0 <= value[1] <= 65535:
            return str(found[0]), value[1]
    reader.wrong("ng", 'must be ["address", port]')
    return "127.0.0.1", 0


def _folder(tree: Dict[str, Any], reader: _Reader) -> str:
    """Return the folder of recordings; without one, nothing can be recorded."""
    folder = reader.text(tree, "", "recordings", "")
    if folder and not Path(folder).is_absolute():
        reader.wrong("recordings", "must be an absolute path")
    return folder


def _ports(value: object, reader: _Reader) -> Tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(port) is int for port in value):
        low, high = value
        if 1024 <= low < high <= 65535:
            return low, high
    reader.wrong("ports", "must be [lowest, highest], from 1024 to 65535")
    return 16384, 32767


def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _gateway(name: str, tree: Dict[str, Any], reader: _Reader) -> Peer:
    path = f"gateways.{name}."
    networks = reader.parsed(_network, reader.texts(tree, path, "networks"), f"{path}networks")
    learn = reader.choice(tree, path, "learn", LEARN)
    jitter = reader.part(tree, path, "jitter", read_buffer, None)
    return Peer(name, "gateway", networks, learn=learn, jitter=jitter, **_operation(tree, path, reader))


def _trunk(name: str, tree: Dict[str, Any], keys: Dict[str, str], reader: _Reader) -> Peer:
    path = f"trunks.{name}."
    networks = reader.parsed(_network, reader.texts(tree, path, "addresses"), f"{path}addresses")
    mode = reader.choice(tree, path, "mode", (*crypto_attr.MODES, SRTP))
    shared = _operation(tree, path, reader)
    if mode == crypto_attr.NONE:
        return Peer(name, "trunk", networks, mode=mode, **shared)
    modes = _modes(tree, path, reader)
    accept = reader.texts(tree, path, "accept")
    if mode == SRTP:  # has no keys but those of calls from before
        key, accept = "", tuple(kid for kid in accept if kid in dict(modes))
    else:
        key = reader.text(tree, path, "key")
        accept = tuple(dict.fromkeys((key, *accept)))
    peer = Peer(name, "trunk", networks, mode=mode, key=key, accept=accept, modes=modes, **shared)
    for kid in accept:
        _check_key(peer, kid, keys, reader)
    return peer


def _modes(tree: Dict[str, Any], path: str, reader: _Reader) -> Tuple[Tuple[str, str], ...]:
    modes = tree.get("modes", {})
    if not isinstance(modes, dict) or not all(
        isinstance(m, str) and m in KEY_LENGTHS for m in modes.values()
    ):
        reader.wrong(f"{path}modes", f"must say one of {', '.join(KEY_LENGTHS)} of each key")
        return ()
    return tuple(modes.items())


def _check_key(peer: Peer, kid: str, keys: Dict[str, str], reader: _Reader) -> None:
    path, mode = f"trunks.{peer.name}.", peer.mode_of(kid)
    low, high = KEY_LENGTHS.get(mode, (0, 0))
    if kid not in keys:
        reader.wrong(f"{path}accept", f"key `{kid}` is not in the key table")
    elif mode not in KEY_LENGTHS:
        reader.wrong(f"{path}modes", f"key `{kid}` is for no mode: the trunk is {mode}")
    elif not low <= len(keys[kid]) <= high:
        length = str(low) if low == high else f"{low} to {high}"
        reader.wrong(f"{path}key", f"key `{kid}` has {len(keys[kid])} characters, {mode} takes {length}")
