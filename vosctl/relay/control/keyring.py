"""The admin socket's words about keys: keys, stage, activate, retire."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Awaitable, Callable, Dict, Tuple

from vosctl.relay.control.calls import Calls
from vosctl.relay.control.config import KEY_LENGTHS, Config
from vosctl.relay.control.media import MediaError
from vosctl.relay.control.rotation import Change, KeyChangeError, Rotation, holders

LOG = logging.getLogger(__name__)

Json = Dict[str, Any]
Changed = Tuple[Config, Dict[str, Change]]


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

    async def _keys(self, _request: Json) -> Json:
        trunks = {}
        for name, peer in self._rotation.merge(self.files).peers.items():
            if peer.is_trunk and peer.mode in KEY_LENGTHS:
                held = holders(self._calls, name)
                trunks[name] = {
                    "mode": peer.mode,
                    "key": peer.key,
                    "accept": list(peer.accept),
                    "calls": held,
                }
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
