"""The line to the media process: JSON requests with ids, events in between, and coming back after a break."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple, cast

from vosctl.relay import lines

LOG = logging.getLogger(__name__)

REPLY_TIMEOUT = 5.0
RETRY_FIRST = 0.05
RETRY_MOST = 1.0
MAX_BUFFER = 256 << 20
_ROOM = 65536

Reply = Dict[str, Any]


class MediaError(Exception):
    """The media process refused a command; the message is its own."""


class MediaDownError(MediaError):
    """There is no media process to ask, or it does not answer."""


class _Line(asyncio.BufferedProtocol):
    """Splits the stream into JSON lines and hands each on; what is sent in one turn of the loop leaves together."""

    def __init__(self, take: Callable[[Reply], None], closed: asyncio.Event) -> None:
        self._take = take
        self._closed = closed
        self._parts: List[bytes] = []
        self._size = 0
        self._room = bytearray(_ROOM)
        self._out: List[bytes] = []
        self.transport: Optional[asyncio.Transport] = None
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, line: str) -> None:
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(line.encode())

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"\n".join([*out, b""]))

    def get_buffer(self, _: int) -> bytearray:
        return self._room

    def buffer_updated(self, length: int) -> None:
        data = bytes(memoryview(self._room)[:length])
        self._parts.append(data)
        self._size += len(data)
        if b"\n" not in data:
            if self._size > MAX_BUFFER and self.transport:
                self.transport.abort()
            return
        *whole, rest = b"".join(self._parts).split(b"\n")
        self._parts, self._size = [rest], len(rest)
        for line in whole:
            self._parse(line)

    def _parse(self, line: bytes) -> None:
        try:
            message = lines.decode(line.decode())
        except ValueError:
            LOG.error("the media process sent a line that is no JSON")  # noqa: TRY400 - no traceback
            return
        self._take(message)

    def connection_lost(self, _: Optional[Exception]) -> None:
        self._closed.set()


_NOBODY: Tuple[Optional["asyncio.Future[Reply]"], float] = (None, 0.0)


# Set in what sets a connection up: it alone may ask before that is over.
_PREPARING: contextvars.ContextVar[bool] = contextvars.ContextVar("preparing", default=False)


def _same(line: _Line) -> _Line:
    return line


class MediaClient:
    """Keeps one connection to the media process.

    ``prepare`` is awaited on every new connection, before anybody else may ask; it asks by
    ``request`` itself. ``event`` is called with each event.
    """

    def __init__(
        self, path: Path, *, prepare: Callable[[], Awaitable[None]], event: Callable[[Reply], None]
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._event = event
        self._line: Optional[_Line] = None
        self._set_up: Optional[asyncio.Future[None]] = None
        # By number, which is also the order of their deadlines.
        self._waiting: Dict[int, Tuple[asyncio.Future[Reply], float]] = {}
        self._last = 0
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Connect, prepare, and connect again whenever the connection ends, until cancelled."""
        pause = RETRY_FIRST
        loop = asyncio.get_running_loop()
        while True:
            closed = asyncio.Event()
            line = _Line(self._take, closed)
            try:
                await loop.create_unix_connection(functools.partial(_same, line), str(self._path))
            except OSError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST)
                continue
            pause = RETRY_FIRST
            await self._serve(line, closed)

    async def _serve(self, line: _Line, closed: asyncio.Event) -> None:
        self._line = line
        self._set_up = asyncio.get_running_loop().create_future()
        watch = asyncio.ensure_future(self._watch(closed))
        try:
            preparing = _PREPARING.set(True)
            try:
                await self._prepare()
            finally:
                _PREPARING.reset(preparing)
            self.ready.set()
            self._set_up.set_result(None)
            await closed.wait()
            LOG.warning("the media process closed the connection")
        except MediaError as error:
            LOG.error("the media process cannot be set up: %s", error)  # noqa: TRY400 - no traceback
            await asyncio.sleep(RETRY_FIRST if closed.is_set() else RETRY_MOST)
        finally:
            watch.cancel()
            self._close()

    async def _watch(self, closed: asyncio.Event) -> None:
        """Give up requests that are not answered in time: one look at the oldest instead of a timer for each.

        And all of them at once where the connection ends: a process that is just being killed may still have taken it.
        """
        while not closed.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(closed.wait(), REPLY_TIMEOUT / 10)
            now = asyncio.get_running_loop().time()
            late = [future for future, deadline in self._waiting.values() if deadline <= now]
            for future in late:
                _fail(future, "the media process does not answer")
        for future, _ in list(self._waiting.values()):
            _fail(future, "the media process went away")

    def _close(self) -> None:
        self.ready.clear()
        if self._set_up is not None and not self._set_up.done():
            self._set_up.set_result(None)  # whoever waits finds nobody there
        line, self._line = self._line, None
        if line is not None and line.transport is not None:
            line.transport.abort()
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            _fail(future, "the media process went away")

    def _take(self, message: Reply) -> None:
        if "event" in message:
            self._event(message)
            return
        future, _ = self._waiting.get(message.get("id", -1), _NOBODY)
        if future is not None and not future.done():
            future.set_result(message)

    async def request(self, command: str, **fields: Any) -> Reply:
        """Return the reply to ``command``. Raises ``MediaError``, ``MediaDownError``."""
        if self._set_up is not None and not self._set_up.done() and not _PREPARING.get():
            # A media process that has not got its configuration yet would take calls on ports of its own.
            await asyncio.shield(self._set_up)
        if self._line is None or self._line.transport is None:
            raise MediaDownError("the media process is not running")
        self._last += 1
        number = self._last
        loop = self._line.loop
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting[number] = future, loop.time() + REPLY_TIMEOUT
        self._line.send(lines.encode({"id": number, "cmd": command, **fields}))
        try:
            reply = await future
        finally:
            self._waiting.pop(number, None)
        if not reply.get("ok"):
            raise MediaError(str(reply.get("error", "no reason given")))
        return reply


def _fail(future: asyncio.Future[Reply], why: str) -> None:
    if not future.done():
        future.set_exception(MediaDownError(why))
