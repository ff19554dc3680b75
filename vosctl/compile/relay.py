"""The relay's configuration on a node: ``relay.json`` and, apart and secret, ``relay-keys.json``."""

from __future__ import annotations

import json
from typing import Any

from vosctl.compile.desired import File
from vosctl.compile.memo import Memo
from vosctl.compile.text import document
from vosctl.site.model import Encryption, Gateway, JitterBuffer, Key, Node, Site, Trunk

SERVICE = "vosctl-relay"
_VERSION = 1


def files(site: Site, node: Node, memo: Memo) -> tuple[File, ...]:
    """Return both files, or none where the node runs no relay."""
    if not node.relay.enabled:
        return ()
    keys = {key.name: key.value.reveal() for trunk in node.trunks.values() for key in _keys(trunk)}
    return (
        File("/etc/vosctl/relay.json", _configuration(site, node, memo), reload=SERVICE),
        File(
            "/etc/vosctl/relay-keys.json",
            document({"version": _VERSION, "keys": keys}),
            mode=0o600,
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
        "trunks": {name: _trunk(site, node, trunk) for name, trunk in node.trunks.items()},
        "gateways": {},
    }
    gateways = memo.once(
        lambda: _gateways(node), "relay gateways", tuple(node.gateways), objects=node.gateways.values()
    )
    return document(tree).replace(b'\n "gateways": {}', gateways, 1)


def _gateways(node: Node) -> bytes:
    """Return the gateways as the lines that ``document`` would have made of them.

    A thousand gateways shared by all nodes are written once, not once a node.
    """
    tree = {name: _gateway(gateway) for name, gateway in node.gateways.items()}
    text = json.dumps({"gateways": tree}, sort_keys=True, indent=1)
    return text[1:-2].encode()


def _gateway(gateway: Gateway) -> dict[str, Any]:
    limits = gateway.limits
    return {
        "type": gateway.type.value,
        "networks": [str(network) for network in gateway.networks],
        "codecs": list(gateway.codecs),
        "ptime": gateway.ptime,
        "dtmf": gateway.dtmf,
        "proxy": gateway.proxy.value,
        "learn": gateway.learn.value,
        "jitter": _jitter(gateway.jitter),
        "limits": {
            "cps": limits.cps,
            "concurrent": limits.concurrent,
            "duration": int(limits.duration.total_seconds()),
        },
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
    return {
        "peer": peer.name,
        "addresses": [str(address) for address in peer.relay.addresses],
        "mode": trunk.encryption.value,
        "key": trunk.key.name if trunk.key and trunk.encryption is not Encryption.NONE else None,
        "accept": [key.name for key in _keys(trunk)],
    }


def _keys(trunk: Trunk) -> tuple[Key, ...]:
    """Return the trunk's keys, the current one first, each once; an open trunk has none."""
    if trunk.encryption is Encryption.NONE:
        return ()
    current = (trunk.key,) if trunk.key else ()
    return tuple({key.name: key for key in (*current, *trunk.accept)}.values())
