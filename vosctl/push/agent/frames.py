"""Frames on the pipes to the controller: a 4-byte big-endian length, then zlib-compressed JSON."""

from __future__ import annotations

import json
import os
import zlib

from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FRAME = 64 * 1024 * 1024
MAX_PLAIN = 512 * 1024 * 1024


class Channel:
    """Both pipes. A controller that hung up never raises: it shows in ``closed``."""

    def __init__(self, reader: int = 0, writer: int = 1) -> None:
        self._reader = reader
        self._writer = writer
        self.closed = False

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame, unless the controller is gone."""
        if self.closed:
            return
        data = memoryview(encode(frame))
        try:
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError:
            self.closed = True

    def receive(self) -> dict[str, Any] | None:
        """Return the next frame, None at the end; raises AgentError for one that is no frame."""
        head = self._read(4)
        if head is None:
            return None
        size = int.from_bytes(head, "big")
        if size > MAX_FRAME:
            raise AgentError("unsupported", f"a frame of {size} bytes is too long (at most {MAX_FRAME})")
        body = self._read(size)
        return None if body is None else decode(body)

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size:
            try:
                part = os.read(self._reader, min(size, 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def encode(frame: dict[str, Any]) -> bytes:
    """Return a frame as it goes over the pipe."""
    body = zlib.compress(json.dumps(frame, separators=(",", ":")).encode(), 1)
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> dict[str, Any]:
    """Return the object in a frame's body; raises AgentError when it is none."""
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(body, MAX_PLAIN)
        if unpacker.unconsumed_tail:
            raise AgentError("unsupported", f"a frame unpacks to more than {MAX_PLAIN} bytes")
        frame = json.loads(plain)
    except (zlib.error, ValueError) as error:
        raise AgentError("unsupported", f"a frame cannot be read: {error}") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("op"), str):
        raise AgentError("unsupported", "a frame must be an object with an op")
    return frame
