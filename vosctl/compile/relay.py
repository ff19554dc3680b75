"""The relay's configuration on a node: ``relay.json`` and, apart and secret, ``relay-keys.json``."""

from __future__ import annotations

import json
from typing import Any

from vosctl.compile.desired import File
from vosctl.compile.memo import Memo
from vosctl.compile.text import document
from vosctl.site.model import (
    Address,
    Encryption,
    Gateway,
    JitterBuffer,
    Key,
    Limits,
    Node,
    Relay,
    Site,
    Trunk,
)

SERVICE = "vosctl-relay"
# The user and the group that the relay runs as.
ACCOUNT = "vosrelay"
_VERSION = 1


def files(site: Site, node: Node, memo: Memo) -> tuple[File, ...]:
    """Return both files, or none where the node runs no relay."""
    if not node.relay.enabled:
        return ()
    keys = {key.name: key.value.reveal() for trunk in node.trunks.values() for key in _keys(trunk)}
    secrets: dict[str, Any] = {"version": _VERSION, "keys": keys}
    alerts = node.relay.alerts
    if alerts is not None and alerts.webhook is not None:
        # Whoever knows the URL can write to where alerts are read.
        secrets["webhook"] = alerts.webhook.reveal()
    return (
        File("/etc/vosctl/relay.json", _configuration(site, node, memo), reload=SERVICE),
        File(
            "/etc/vosctl/relay-keys.json",
            document(secrets),
            mode=0o600,
            owner=ACCOUNT,
            group=ACCOUNT,
            secret=True,
            reload=SERVICE,
        ),
    )


def _configuration(site: Site, node: Node, memo: Memo) -> bytes:
    relay = node.relay
    tree = {
        "version": _VERSION,
        "node": node.name,
        "addresses": [str(address) for address in relay.addresses],
        "ng": [str(relay.ng[0]), relay.ng[1]],
        "ports": [relay.ports.first, relay.ports.last],
        "dscp": node.qos.media,
        "rtp_timeout": int(relay.rtp_timeout.total_seconds()),
        "ptime": node.media.ptime,
        "proxy": node.media.proxy.value,
        **_operation(relay),
        "trunks": {name: _trunk(site, node, trunk) for name, trunk in node.trunks.items()},
        "gateways": {},
    }
    gateways = memo.once(
        lambda: _gateways(node), "relay gateways", tuple(node.gateways), objects=node.gateways.values()
    )
    return document(tree).replace(b'\n "gateways": {}', gateways, 1)


def _operation(relay: Relay) -> dict[str, Any]:
    """Return interfaces, limits, recordings, metrics and alerts, those that the site speaks of."""
    tree: dict[str, Any] = {}
    if relay.interfaces:
        tree["interfaces"] = {
            each.name: {
                "addresses": list(map(str, each.addresses)),
                "advertised": list(map(str, each.advertised)),
                "networks": list(map(str, each.networks)),
            }
            for each in relay.interfaces
        }
    if relay.low_latency:
        tree["low_latency"] = True
    if relay.kernel_path:
        tree["kernel_path"] = True
    if relay.recordings:
        tree["recordings"] = relay.recordings
    if relay.limits is not None:
        tree["limits"] = _limits(relay.limits)
    if relay.metrics is not None:
        listen = relay.metrics.listen
        tree["metrics"] = {
            "listen": [str(listen[0]), listen[1]] if listen else None,
            "textfile": relay.metrics.textfile or "",
        }
    if relay.alerts is not None:
        alerts = relay.alerts
        tree["alerts"] = {
            "loss": alerts.loss,
            "jitter": alerts.jitter,
            "latency": alerts.latency,
            "interval": int(alerts.interval.total_seconds()),
        }
    return tree


def _limits(limits: Limits) -> dict[str, int]:
    return {
        "cps": limits.cps,
        "concurrent": limits.concurrent,
        "duration": int(limits.duration.total_seconds()),
    }


def _gateways(node: Node) -> bytes:
    """Return the gateways as the lines that ``document`` would have made of them.

    A thousand gateways shared by all nodes are written once, not once a node.
    """
    tree = {name: _gateway(gateway) for name, gateway in node.gateways.items()}
    text = json.dumps({"gateways": tree}, sort_keys=True, indent=1)
    return text[1:-2].encode()


def _gateway(gateway: Gateway) -> dict[str, Any]:
    return {
        "type": gateway.type.value,
        "networks": [str(network) for network in gateway.networks],
        "codecs": list(gateway.codecs),
        "ptime": gateway.ptime,
        "dtmf": gateway.dtmf,
        "proxy": gateway.proxy.value,
        "learn": gateway.learn.value,
        "jitter": _jitter(gateway.jitter),
        "limits": _limits(gateway.limits),
        **({"interface": gateway.interface} if gateway.interface else {}),
    }


def _jitter(buffer: JitterBuffer) -> dict[str, Any]:
    return {
        "mode": "adaptive" if buffer.adaptive else "fixed",
        "min": buffer.minimum,
        "max": buffer.maximum,
        "start": buffer.start,
    }


def _trunk(site: Site, node: Node, trunk: Trunk) -> dict[str, Any]:
    peer = site.nodes[trunk.other(node.name)]
    keys = _keys(trunk)
    current = None if trunk.encryption in (Encryption.NONE, Encryption.SRTP) else trunk.key
    others = {
        key.name: trunk.mode_of(key).value for key in keys if trunk.mode_of(key) is not trunk.encryption
    }
    return {
        "peer": peer.name,
        "addresses": [str(address) for address in _seen(peer.relay)],
        "proxy": (trunk.proxy or node.media.proxy).value,
        **({"interface": trunk.interface} if trunk.interface else {}),
        "mode": trunk.encryption.value,
        "key": current.name if current else None,
        "accept": [key.name for key in keys],
        **({"modes": others} if others else {}),
    }


def _seen(relay: Relay) -> list[Address]:
    """Return every address that another node may see the relay under."""
    shown = (each.advertised or each.addresses for each in relay.interfaces)
    return list(dict.fromkeys((*relay.addresses, *(address for some in shown for address in some))))


def _keys(trunk: Trunk) -> tuple[Key, ...]:
    """Return the trunk's keys, the current one first, each once; an open trunk has none, SRTP those of another mode."""
    if trunk.encryption is Encryption.NONE:
        return ()
    current = (trunk.key,) if trunk.key else ()
    keys = tuple({key.name: key for key in (*current, *trunk.accept)}.values())
    return tuple(key for key in keys if trunk.mode_of(key) is not Encryption.SRTP)
