"""Runs the agent as a process on this machine, for nodes with ``connection: local``."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from vosctl.errors import UnreachableError
from vosctl.push.transport import own_login

CHUNK = 65536
END_PATIENCE = 5.0


class LocalTransport:
    """Starts commands as children in a session of their own, so that Ctrl-C reaches only the controller."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.login = own_login()[0]
        self._pipes: list[LocalPipe] = []

    def open(self, command: Sequence[str]) -> LocalPipe:
        """Start a command; raise UnreachableError where it cannot be run."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise UnreachableError(
                self._node, f"{command[0]} cannot be run here: {error.strerror}", hint=f"install {command[0]}"
            ) from error
        pipe = LocalPipe(process)
        self._pipes.append(pipe)
        return pipe

    def close(self) -> None:
        """Let go of what was started."""
        for pipe in self._pipes:
            pipe.close()


class LocalPipe:
    """The three streams of a child process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a process without pipes")
        self._process = process
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr
        for stream in (self._in, self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        self._err_open = True
        self._closed = False

    def read(self, timeout: float) -> bytes | None:
        """Return bytes of standard output, b"" at its end, None when there were none in time."""
        if self._closed:
            return b""
        return self._out.read(CHUNK) if self._out.fileno() in self._ready(timeout, write=False) else None

    def write(self, data: bytes, timeout: float) -> int:
        """Send what fits into the pipe in time."""
        if self._closed:
            raise BrokenPipeError
        return (self._in.write(data) or 0) if self._in.fileno() in self._ready(timeout, write=True) else 0

    def _ready(self, timeout: float, *, write: bool) -> set[int]:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if self._err_open:
            poll.register(self._err, select.POLLIN)
        if write:
            poll.register(self._in, select.POLLOUT)
        return {number for number, _ in poll.poll(timeout * 1000)}

    def read_stderr(self) -> bytes:
        """Return what has come on standard error."""
        if not self._err_open or self._closed:
            return b""
        data = self._err.read(CHUNK)
        if data == b"":
            self._err_open = False
        return data or b""

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status; a signal's number is negative."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the child's input; a child that does not end then is killed."""
        if self._closed:
            return
        self._closed = True
        for stream in (self._in, self._out, self._err):
            with suppress(OSError):
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_PATIENCE)
            return
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(END_PATIENCE)
