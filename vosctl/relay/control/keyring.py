"""The admin socket's words about keys: keys, stage, activate, retire."""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import Any, Awaitable, Callable, Dict, Tuple

from vosctl.relay.control.calls import Calls
from vosctl.relay.control.config import Config
from vosctl.relay.control.media import MediaError
from vosctl.relay.control.peers import KEY_LENGTHS, SRTP
from vosctl.relay.control.rotation import Change, KeyChangeError, Rotation, holders

LOG = logging.getLogger(__name__)

Json = Dict[str, Any]
Changed = Tuple[Config, Dict[str, Change]]


# Characters of a salt: 32 hexadecimal digits are 128 bits, so that no table of fingerprints can be made before.
LEAST_SALT, MOST_SALT = 32, 128


def fingerprint(salt: str, kid: str, value: str) -> str:
    """Return HMAC-SHA-256 (RFC 2104) over a key id and its key, under a salt that is used once; 32 hex digits.

    Short keys can be guessed from it by who has the salt, too: keep neither.
    """
    return hmac.new(salt.encode(), f"{kid}\0{value}".encode(), "sha256").hexdigest()[:32]


class Keyring:
    """Makes changes of keys, one at a time; ``take`` brings the relay to a configuration, or leaves it and raises.

    ``files`` is what the files say; ``lock`` is held by whoever changes the configuration.
    """

    def __init__(
        self,
        rotation: Rotation,
        calls: Calls,
        *,
        take: Callable[[Config], Awaitable[None]],
        files: Config,
        lock: asyncio.Lock,
    ) -> None:
        self._lock = lock
        self._rotation = rotation
        self._calls = calls
        self._take = take
        self.files = files
        self.commands: Dict[str, Callable[[Json], Awaitable[Json]]] = {
            "keys": self._keys,
            "stage": self._stage,
            "activate": self._activate,
            "retire": self._retire,
        }

    async def _keys(self, request: Json) -> Json:
        """Tell of each trunk its keys; with a ``salt`` also their fingerprints, which two ends can compare."""
        salt = request.get("salt")
        if salt is not None and not (isinstance(salt, str) and LEAST_SALT <= len(salt) <= MOST_SALT):
            return {"ok": False, "error": f"salt: a text of {LEAST_SALT} to {MOST_SALT} characters"}
        config = self._rotation.merge(self.files)
        trunks: Dict[str, Json] = {}
        for name, peer in config.peers.items():
            if peer.is_trunk and (peer.mode in KEY_LENGTHS or peer.mode == SRTP):
                trunks[name] = {
                    "mode": peer.mode,
                    "key": peer.key or None,
                    "accept": list(peer.accept),
                    "calls": holders(self._calls, name),
                }
                if peer.modes:
                    trunks[name]["modes"] = dict(peer.modes)
                if salt is not None:
                    prints = {kid: fingerprint(salt, kid, config.keys[kid]) for kid in peer.accept}
                    trunks[name]["fingerprints"] = prints
        return {"ok": True, "trunks": trunks}

    async def _stage(self, request: Json) -> Json:
        trunk, kid, value = _texts(request, "trunk", "kid", "value")
        return await self._change(
            "staged", request, lambda: self._rotation.stage(self.files, trunk, kid, value)
        )

    async def _activate(self, request: Json) -> Json:
        trunk, kid = _texts(request, "trunk", "kid")
        return await self._change(
            "activated", request, lambda: self._rotation.activate(self.files, trunk, kid)
        )

    async def _retire(self, request: Json) -> Json:
        trunk, kid = _texts(request, "trunk", "kid")
        calls = self._calls
        return await self._change(
            "retired", request, lambda: self._rotation.retire(self.files, trunk, kid, calls)
        )

    async def _change(self, done: str, request: Json, change: Callable[[], Changed]) -> Json:
        try:
            async with self._lock:
                config, changes = change()
                await self._take(config)
                self._rotation.keep(changes)
        except KeyChangeError as error:
            return {"ok": False, "error": str(error), "calls": error.calls}
        except (MediaError, OSError) as error:
            return {"ok": False, "error": str(error), "calls": 0}
        LOG.info("key `%s` %s on trunk `%s`", request["kid"], done, request["trunk"])
        return {"ok": True}


def _texts(request: Json, *names: str) -> Tuple[str, ...]:
    # What is no text fits no trunk and no key, and is refused as such.
    return tuple(value if isinstance(value, str) else "" for value in map(request.get, names))
