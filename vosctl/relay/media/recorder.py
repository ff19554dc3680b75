"""Writes recorded calls as pcap files, on a thread of its own: a slow disk delays no command and no packet."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Set

from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.layout import host_and_port

_LOG = logging.getLogger("vosctl.relay.media")

MAX_FILE = 1 << 30
_RECORD = struct.Struct("=QQ24s24s")
_LINKTYPE_RAW = 101  # packets begin with their IP header
_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_RAW)
_UDP = 17


@dataclass
class _Recording:
    path: str
    file: int
    most: int
    streams: Set[int] = field(default_factory=set)
    size: int = len(_HEADER)
    full: bool = False


class Recorder:
    """Takes the copies that the data plane makes, from ``tap``, and writes each call's into its file."""

    def __init__(self, tap: int, lost: Callable[[], int]) -> None:
        self._tap = tap
        self._lost = lost
        self._lost_before = 0
        self._lock = threading.Lock()
        self._calls: Dict[str, _Recording] = {}
        self._streams: Dict[int, _Recording] = {}
        self._stopping: List[_Recording] = []
        self._wake, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def has(self, name: str) -> bool:
        """Tell whether the call is recorded."""
        with self._lock:
            return name in self._calls

    def start(self, name: str, path: str, streams: List[int], *, most: int = MAX_FILE) -> None:
        """Record ``streams`` into the new file ``path``, of ``most`` bytes at the most.

        Raises ``RequestError`` when it cannot be made.
        """
        if self.has(name):
            raise RequestError("this call is recorded already")
        try:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = _new_file(path)
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror}") from None
        with self._lock:
            self._calls[name] = _Recording(path, file, most)
        self.add(name, streams)

    def add(self, name: str, streams: List[int]) -> None:
        """Record further streams of the call."""
        with self._lock:
            recording = self._calls[name]
            recording.streams.update(streams)
            self._streams.update(dict.fromkeys(streams, recording))

    def stop(self, name: str) -> None:
        """End the call's recording after what has been copied until now."""
        with self._lock:
            recording = self._calls.pop(name, None)
            if recording is not None:
                self._stopping.append(recording)
                os.write(self._alarm, b"x")

    def close(self) -> None:
        """End all recordings and wait until they are written."""
        with self._lock:
            names = list(self._calls)
        for name in names:
            self.stop(name)
        with self._lock:
            self._ending = True
        os.write(self._alarm, b"x")
        self._thread.join(10)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._tap, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 512)
            # First who stops, then what has come: every packet before the stop is in the file.
            with self._lock:
                stopping, self._stopping = self._stopping, []
                ending = self._ending
            self._drain()
            for recording in stopping:
                self._finish(recording)
            if ending:
                return

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._tap, 70000)
            except BlockingIOError:
                return
            if not data:
                return
            number, time_us, source, destination = _RECORD.unpack_from(data)
            recording = self._streams.get(number)
            if recording is not None and not recording.full:
                self._write(recording, time_us, _ip(source, destination, data[_RECORD.size :]))

    def _write(self, recording: _Recording, time_us: int, packet: bytes) -> None:
        row = struct.pack("<IIII", time_us // 10**6, time_us % 10**6, len(packet), len(packet)) + packet
        reason = f"it has its {recording.most} bytes"
        fits = recording.size + len(row) <= recording.most
        try:
            if fits and os.write(recording.file, row) == len(row):
                recording.size += len(row)
                return
            # A disk that has just become full may have taken a part.
            os.ftruncate(recording.file, recording.size)
            reason = "no space left" if fits else reason
        except OSError as error:
            reason = str(error.strerror)
        recording.full = True
        _LOG.error("recording %s ends: %s", recording.path, reason)

    def _finish(self, recording: _Recording) -> None:
        with self._lock:
            for number in recording.streams:
                if self._streams.get(number) is recording:
                    del self._streams[number]
        os.close(recording.file)
        lost = int(self._lost())
        if lost != self._lost_before:
            _LOG.warning("recordings lack %d packets: the disk was too slow", lost - self._lost_before)
            self._lost_before = lost


def _new_file(path: str) -> int:
    """Return a descriptor of the new file, which holds its header. Raises ``OSError``; nothing is left then."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, _HEADER)
    except OSError:
        os.close(file)
        Path(path).unlink()
        raise
    return file


def _ip(source: bytes, destination: bytes, payload: bytes) -> bytes:
    """Return the payload in UDP and IP headers (RFC 768, 791, 8200), as it was on the wire."""
    (near, near_port), (far, far_port) = host_and_port(source), host_and_port(destination)
    hosts = near + far
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", near_port, far_port, length, 0)
    if len(near) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, _UDP, 0) + hosts
        return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + udp + payload
    pseudo = hosts + struct.pack("!II", length, _UDP)
    checksum = _checksum(pseudo + udp + payload) or 0xFFFF
    head = struct.pack("!IHBB", 6 << 28, length, _UDP, 64) + hosts
    return head + udp[:6] + struct.pack("!H", checksum) + payload


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
