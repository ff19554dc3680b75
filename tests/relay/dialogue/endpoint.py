"""RTP endpoints in a network namespace: they send what a test says and note when what arrived."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import struct
import threading
import time
from datetime import datetime
from typing import NamedTuple

_CLONE_NEWNET = 0x40000000
_SO_TIMESTAMPNS = 35
_LIBC = ctypes.CDLL(None, use_errno=True)
SOUND, EVENT = 8, 101


class Heard(NamedTuple):
    """An RTP packet and the time of day at which it arrived."""

    time: float
    payload_type: int
    payload: bytes


def socket_in(namespace: str) -> socket.socket:
    """A UDP socket of ``namespace``: a thread goes there to make it, this process stays."""
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            if _LIBC.setns(file, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {namespace}")  # noqa: TRY301 - for the other thread
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        except OSError as error:
            made.append(error)
        finally:
            os.close(file)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class Endpoint:
    """One party's RTP: bound to (host, port), it talks to ``there`` from when that is set until ``close``.

    Every 20 ms goes a packet of G.711 whose bytes are all ``sound``, every 100 ms an RFC 4733 event of
    digit ``digit`` besides.
    """

    def __init__(self, namespace: str, host: str, port: int, *, sound: int, digit: int) -> None:
        self._line = socket_in(namespace)
        self._line.bind((host, port))
        self._line.settimeout(0.1)
        self._line.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sound, self._digit = bytes([sound]) * 160, digit
        self._ended = threading.Event()
        self.there: tuple[str, int] | None = None
        self.heard: list[Heard] = []
        self._threads = [threading.Thread(target=target) for target in (self._speak, self._listen)]
        for thread in self._threads:
            thread.start()

    def _speak(self) -> None:
        ssrc, start = random.getrandbits(32), time.monotonic()
        sequence = 0
        for number in range(1 << 20):
            if self._ended.wait(max(0.0, start + 0.02 * number - time.monotonic())):
                return
            if self.there is None:
                continue
            stamp = 160 * number
            packets = [struct.pack("!BBHII", 0x80, SOUND, sequence & 0xFFFF, stamp, ssrc) + self._sound]
            if number % 5 == 0:
                head = struct.pack("!BBHII", 0x80, EVENT, (sequence + 1) & 0xFFFF, stamp, ssrc)
                packets.append(head + struct.pack("!BBH", self._digit, 10, 160))
            for packet in packets:
                self._line.sendto(packet, self.there)
            sequence += len(packets)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                packet, ((_, _, stamp),), *_ = self._line.recvmsg(2048, 64)
            except TimeoutError:
                continue
            # The kernel's time of arrival: when this thread gets to it is the machine's mood.
            seconds, nanoseconds = struct.unpack("qq", stamp)
            self.heard.append(Heard(seconds + nanoseconds / 1e9, packet[1] & 0x7F, packet[12:]))

    def between(self, begin: float, end: float) -> list[Heard]:
        """What arrived between two times of day."""
        return [packet for packet in self.heard if begin <= packet.time < end]

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._line.close()


def time_of_day(text: str) -> float:
    """The time that sipp writes before a message, ``2026-01-31 12:00:00.123456``, in seconds since the epoch."""
    return datetime.fromisoformat(text).astimezone().timestamp()
