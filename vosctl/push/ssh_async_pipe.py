"""A command's streams between asyncssh's event loop and the thread of its node."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import asyncssh

CHUNK = 65536
MOST = 4 * 1024 * 1024


class AsyncPipe(asyncssh.SSHClientSession[bytes]):
    """The three streams of a command over SSH. The loop's thread fills it, the node's thread empties it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._change = threading.Condition()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._output = bytearray()
        self._errors = bytearray()
        self._status: int | None = None
        self._ended = False
        self._lost = False
        self._held = False
        self._full = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Take what came; a sender that is not listened to is made to wait."""
        with self._change:
            (self._errors if datatype == asyncssh.EXTENDED_DATA_STDERR else self._output).extend(data)
            if len(self._output) + len(self._errors) > MOST and not self._held and self._channel is not None:
                self._held = True
                self._channel.pause_reading()
            self._change.notify_all()

    def eof_received(self) -> bool:
        """Note the end of the output, and keep the input open."""
        with self._change:
            self._ended = True
            self._change.notify_all()
        return True

    def exit_status_received(self, status: int) -> None:
        """Note the exit status."""
        with self._change:
            self._status = status
            self._change.notify_all()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncssh's signature
        """Note that nothing more comes."""
        with self._change:
            self._ended = self._lost = True
            self._change.notify_all()

    def pause_writing(self) -> None:
        """Note that no more can be sent for now."""
        with self._change:
            self._full = True

    def resume_writing(self) -> None:
        """Note that more can be sent."""
        with self._change:
            self._full = False
            self._change.notify_all()

    def read(self, timeout: float) -> bytes | None:
        """Return bytes of standard output, b"" at its end, None when there were none in time."""
        with self._change:
            if not self._change.wait_for(lambda: self._output or self._ended, timeout):
                return None
            data = bytes(self._output[:CHUNK])
            del self._output[:CHUNK]
        self._go_on()
        return data

    def read_stderr(self) -> bytes:
        """Return what has come on standard error."""
        with self._change:
            data = bytes(self._errors)
            self._errors.clear()
        if data:
            self._go_on()
        return data

    def write(self, data: bytes, timeout: float) -> int:
        """Send what can be sent in time; raise BrokenPipeError when the other end is gone."""
        with self._change:
            if not self._change.wait_for(lambda: not self._full or self._lost, timeout):
                return 0
            if self._lost or self._channel is None:
                raise BrokenPipeError
        asyncio.run_coroutine_threadsafe(self._send(data), self._loop).result()
        return len(data)

    async def _send(self, data: bytes) -> None:
        if self._channel is None or self._lost:
            raise BrokenPipeError
        self._channel.write(data)

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status, None where the connection broke before it came."""
        with self._change:
            self._change.wait_for(lambda: self._status is not None or self._lost, timeout)
            return self._status

    def close(self) -> None:
        """End the command's input and let go of it."""
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._channel is not None and not self._lost:
            with suppress(OSError, asyncssh.Error):
                self._channel.write_eof()
                self._channel.close()

    def _go_on(self) -> None:
        with self._change:
            if not self._held or len(self._output) + len(self._errors) > MOST // 2:
                return
            self._held = False
        self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._channel is not None and not self._lost:
            self._channel.resume_reading()
