"""The three streams of a command behind file descriptors of this process: read and written with a time limit."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import IO

CHUNK = 65536


class Streams:
    """Standard input, output and error of a command, held by their unbuffered other ends.

    Another thread may ``shut`` them at any time; what is read then has ended, what is written finds nobody.
    """

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._in, self._out, self._err = stdin, stdout, stderr
        for stream in (stdin, stdout, stderr):
            os.set_blocking(stream.fileno(), False)
        self._err_open = True
        self._shut = False

    def read(self, timeout: float) -> bytes | None:
        """Return bytes of standard output, b"" at its end, None when there were none in time."""
        try:
            return self._out.read(CHUNK) if self._out.fileno() in self._ready(timeout, write=False) else None
        except ValueError:  # closed by now
            return b""

    def write(self, data: bytes, timeout: float) -> int:
        """Send what fits into the pipe in time."""
        try:
            return (self._in.write(data) or 0) if self._in.fileno() in self._ready(timeout, write=True) else 0
        except ValueError as error:
            raise BrokenPipeError from error

    def read_stderr(self) -> bytes:
        """Return what has come on standard error."""
        if not self._err_open:
            return b""
        try:
            data = self._err.read(CHUNK)
        except ValueError:
            data = b""
        if data == b"":
            self._err_open = False
        return data or b""

    def shut(self) -> bool:
        """Close all three; return whether they were open until now."""
        was, self._shut = self._shut, True
        for stream in (self._in, self._out, self._err):
            with suppress(OSError):
                stream.close()
        return not was

    def _ready(self, timeout: float, *, write: bool) -> set[int]:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if self._err_open:
            poll.register(self._err, select.POLLIN)
        if write:
            poll.register(self._in, select.POLLOUT)
        return {number for number, _ in poll.poll(timeout * 1000)}
