"""The admin socket: one JSON object a line in, one out."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Mapping

LOG = logging.getLogger(__name__)

Json = Dict[str, Any]
MAX_LINE = 65536


class Console:
    """Serves ``commands``, each a coroutine function from the request to the reply, on a Unix socket."""

    def __init__(self, path: Path, commands: Mapping[str, Callable[[Json], Awaitable[Json]]]) -> None:
        self._path = path
        self._commands = commands
        self._server: "asyncio.AbstractServer | None" = None

    async def open(self) -> None:
        """Listen, readable by the owner alone; a socket that a dead process left is replaced. Raises ``OSError``."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and take the socket away."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            LOG.debug("admin socket: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Json:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return {"ok": False, "error": f"not JSON: {error}"}
        if not isinstance(request, dict):
            return {"ok": False, "error": "a request is a JSON object"}
        command = self._commands.get(str(request.get("cmd")))
        if command is None:
            known = ", ".join(sorted(self._commands))
            return {"ok": False, "error": f"no command {str(request.get('cmd'))[:40]!r} (there are {known})"}
        return await command(request)
