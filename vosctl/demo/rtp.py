"""A telephone's media side: sends a voice as RTP (RFC 3550) in real time and keeps what comes back."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PCMA = 8
PACKET_SECONDS = 0.02
HEADER = struct.Struct("!BBHII")
_SAMPLES = 160
_MAX_DATAGRAM = 2048


@dataclass(slots=True)
class Phone:
    """One end of a call: a socket, what was heard (payloads by sequence number) and from where."""

    socket: socket.socket
    ssrc: int
    heard: dict[int, bytes] = field(default_factory=dict)
    sources: set[tuple[str, int]] = field(default_factory=set)
    _done: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """The UDP port where this phone hears."""
        return int(self.socket.getsockname()[1])

    def listen(self) -> threading.Thread:
        """Collect packets in the background until ``close``."""
        thread = threading.Thread(target=self._collect, daemon=True)
        thread.start()
        return thread

    def _collect(self) -> None:
        self.socket.settimeout(0.05)
        while not self._done.is_set():
            try:
                packet, source = self.socket.recvfrom(_MAX_DATAGRAM)
            except TimeoutError:
                continue
            except OSError:
                return
            if len(packet) >= HEADER.size and packet[1] & 0x7F == PCMA:
                self.heard[HEADER.unpack_from(packet)[2]] = packet[HEADER.size :]
                self.sources.add(source)

    def speak(
        self,
        remote: tuple[str, int],
        frames: Sequence[bytes],
        *,
        between: Callable[[int], None] | None = None,
    ) -> None:
        """Send one frame every 20 ms to ``remote``; ``between`` is called with each frame's number."""
        start = time.monotonic()
        for number, frame in enumerate(frames):
            if between is not None:
                between(number)
            time.sleep(max(0.0, start + number * PACKET_SECONDS - time.monotonic()))
            header = HEADER.pack(0x80, PCMA, number, number * _SAMPLES, self.ssrc)
            self.socket.sendto(header + frame, remote)

    def audio(self) -> bytes:
        """Return what was heard, in order of sequence numbers."""
        return b"".join(self.heard[number] for number in sorted(self.heard))

    def close(self) -> None:
        """Stop listening and close the socket."""
        self._done.set()
        self.socket.close()
