"""Sessions over a connection that an ``ssh`` process of OpenSSH holds: its multiplexing protocol, version 4.

The master listens at a Unix socket. A client says hello, asks for a session, hands over the descriptors that
shall be the command's standard input, output and error, and hears later how the command ended (OpenSSH's
PROTOCOL.mux). One session a client connection.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vosctl.push.streams import Streams

_HELLO, _VERSION = 0x00000001, 4
_NEW_SESSION = 0x10000002
_EXIT, _OPENED = 0x80000004, 0x80000006
_NO_ESCAPE = 0xFFFFFFFF
_MAX_PACKET = 256 * 1024


class MuxError(Exception):
    """There is no master, or it gives no session."""


class MuxClient:
    """A connection to the master at ``path``; raises MuxError where nobody answers ``within`` so many seconds."""

    def __init__(self, path: Path, within: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(within)
        try:
            self._socket.connect(str(path))
            self._send(struct.pack(">II", _HELLO, _VERSION))
            kind, version = struct.unpack(">II", self._receive()[:8])
        except (OSError, struct.error) as error:
            self.close()
            raise MuxError(f"no master at {path}: {error}") from error
        if (kind, version) != (_HELLO, _VERSION):
            self.close()
            raise MuxError(f"the master at {path} speaks another protocol")

    def session(self, command: str) -> MuxPipe:
        """Start ``command`` in the login shell; the connection is the session's from now on.

        Raises MuxError where the master does not open it: the server may have gone, or hold enough sessions.
        """
        ends = [os.pipe() for _ in range(3)]
        theirs = (ends[0][0], ends[1][1], ends[2][1])
        mine = (ends[0][1], ends[1][0], ends[2][0])
        try:
            self._ask(command, theirs)
        except (OSError, struct.error, MuxError) as error:
            for number in mine:
                os.close(number)
            self.close()
            raise MuxError(f"no session: {error}") from error
        finally:
            for number in theirs:
                os.close(number)
        return MuxPipe(self._socket, mine, self._receive)

    def _ask(self, command: str, descriptors: tuple[int, int, int]) -> None:
        # no terminal, X11, agent or subsystem; no escape character; no TERM; no environment
        flags = struct.pack(">IIIII", 0, 0, 0, 0, _NO_ESCAPE)
        self._send(struct.pack(">II", _NEW_SESSION, 1) + _text("") + flags + _text("") + _text(command))
        for number in descriptors:
            socket.send_fds(self._socket, [b"\0"], [number])
        answer = self._receive()
        if _kind(answer) != _OPENED:
            raise MuxError(answer[12:].decode(errors="replace"))

    def close(self) -> None:
        """Hang up; a session that was asked for ends."""
        self._socket.close()

    def _send(self, body: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self) -> bytes:
        """Return the next packet of the master."""
        (length,) = struct.unpack(">I", self._exactly(4))
        if length > _MAX_PACKET:
            raise OSError(f"a packet of {length} bytes")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise OSError("the master hung up")
            data += more
        return data


class MuxPipe(Streams):
    """The three streams of a command that the master runs."""

    def __init__(
        self, control: socket.socket, ends: tuple[int, int, int], receive: Callable[[], bytes]
    ) -> None:
        stdin, stdout, stderr = ends
        super().__init__(
            os.fdopen(stdin, "wb", buffering=0),
            os.fdopen(stdout, "rb", buffering=0),
            os.fdopen(stderr, "rb", buffering=0),
        )
        self._control = control
        self._receive = receive

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status, None where the connection broke before it came."""
        with suppress(OSError, struct.error):
            self._control.settimeout(timeout)
            while True:
                answer = self._receive()
                if _kind(answer) == _EXIT:
                    return int(struct.unpack(">I", answer[8:12])[0])
        return None

    def close(self) -> None:
        """End the command's input and let go of it."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # wakes whoever waits, and the master ends the session
        self._control.close()
        self.shut()


def _kind(packet: bytes) -> int:
    return int(struct.unpack(">I", packet[:4])[0])


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">I", len(data)) + data
