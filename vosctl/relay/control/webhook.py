"""Tells alerts to a URL as JSON, one after the other, without ever holding up the relay."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Dict

LOG = logging.getLogger(__name__)

MOST_WAITING = 100
TRIES = 3
TIMEOUT = 5.0

Json = Dict[str, Any]


class Webhook:
    """Posts what ``tell`` was given; the oldest is dropped where too much waits."""

    def __init__(self) -> None:
        self.url = ""
        self.failed = 0
        self._waiting: "asyncio.Queue[Json]" = asyncio.Queue(MOST_WAITING)

    def tell(self, message: Json) -> None:
        """Have ``message`` posted, where a URL is set."""
        if not self.url:
            return
        if self._waiting.full():
            self._waiting.get_nowait()
            self.failed += 1
        self._waiting.put_nowait(message)

    async def run(self) -> None:
        """Post what comes until cancelled."""
        while True:
            await self._deliver(await self._waiting.get())

    async def _deliver(self, message: Json) -> None:
        loop = asyncio.get_running_loop()
        for attempt in range(TRIES):
            url = self.url
            if not url:
                return
            try:
                await loop.run_in_executor(None, _post, url, message)
            except (OSError, ValueError) as error:
                # The URL may be a secret, and an error may quote it: only its kind is told.
                LOG.warning("webhook: %s, try %d of %d", type(error).__name__, attempt + 1, TRIES)
                await asyncio.sleep(2.0**attempt)
            else:
                return
        self.failed += 1


def _post(url: str, message: Json) -> None:
    # HTTP and TLS take 8 MB and a tenth of a second to load, and most relays never raise an alert to a URL.
    from vosctl.relay.control import poster  # noqa: PLC0415

    poster.post(url, json.dumps(message).encode(), timeout=TIMEOUT)
