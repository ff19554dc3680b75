"""The C data plane as Python sees it: its structures, its functions, and its errors as exceptions."""

from __future__ import annotations

import ctypes as c
import errno
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from vosctl.errors import RelayError
from vosctl.relay.media import layout
from vosctl.relay.media.layout import Endpoint, Live

ABI = 1
MODES = {
    "none": 0,
    "xor": 1,
    "rc4": 2,
    "aes128": 3,
    "AES_CM_128_HMAC_SHA1_80": 4,
    "AES_CM_128_HMAC_SHA1_32": 5,
    "AEAD_AES_128_GCM": 6,
}
# The crypto suites of SRTP, with the bytes of their master key and salt.
SUITES = {"AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30, "AEAD_AES_128_GCM": 28}
LEARN = {"sdp": 0, "nat": 1, "any": 2}
EVENTS = {
    1: "first-packet",
    2: "source-change",
    3: "timeout",
    4: "key-mismatch",
    16: "played",
    17: "digits-sent",
}
FILTERS = {"block": 1, "silence": 2}
BLOCK_EVENTS = 4
CHANGE_REMOTE, CHANGE_RX, CHANGE_TX, CHANGE_REST, CHANGE_JUDGE, CHANGE_RTCP = 1, 2, 4, 8, 16, 32
CHANGE_PLAYOUT = 64


_Pair = c.c_int32 * 2


class Transform(c.Structure):
    """``struct vos_transform``."""

    _fields_ = [
        ("mode", c.c_uint8),
        ("spare", c.c_uint8),
        ("key_len", c.c_uint16),
        ("salt", c.c_uint8 * 4),
        ("key", c.c_uint8 * 256),
    ]

    @classmethod
    def of(cls, mode: str, key: bytes, salt: bytes) -> "Transform":
        """Return the transform of a mode; ``salt`` is four bytes."""
        made = cls(mode=MODES[mode], key_len=len(key))
        made.salt[:] = salt
        made.key[: len(key)] = key
        return made


class _Conf(c.Structure):
    _fields_ = [
        ("workers", c.c_uint32),
        ("receive_buffer", c.c_uint32),
        ("files", c.c_uint32),
        ("epoll", c.c_uint32),
    ]


class Event(NamedTuple):
    """What a worker reports; ``side`` is 0 or 1, ``value`` an SSRC or, for a timeout, milliseconds."""

    kind: str
    side: int
    stream: int
    remote: Optional[Endpoint]
    value: int


class Stream(NamedTuple):
    """A running stream: its handle, and where the workers count for each side."""

    handle: int
    live: Tuple[Live, Live]


def _library(path: Path) -> Any:
    library: Any = c.CDLL(str(path))
    library.vos_abi.restype = c.c_uint32
    if library.vos_abi() != ABI:
        raise OSError(
            errno.ENOEXEC, f"it has interface {library.vos_abi()}, this relay needs {ABI}", str(path)
        )
    library.vos_sizes.restype = library.vos_modes.restype = c.c_uint32
    for which, size in enumerate(layout.SIZES):
        if library.vos_sizes(which) != size:
            raise OSError(errno.ENOEXEC, "its structures differ from this relay's", str(path))
    library.vos_crypto.restype = c.c_char_p
    library.vos_events_lost.restype = c.c_uint64
    library.vos_refresh.restype = None
    library.vos_refresh.argtypes = [c.c_void_p]
    library.vos_stop.restype = None
    library.vos_close.restype = None
    handle = c.c_void_p
    library.vos_open.argtypes = [c.c_char_p, c.c_void_p]
    library.vos_add.argtypes = [c.c_uint64, c.c_char_p, c.c_void_p]
    library.vos_change.argtypes = [handle, c.c_uint32, c.c_char_p, c.c_uint32]
    library.vos_remove.argtypes = [handle, c.c_char_p]
    for function in (library.vos_entry, library.vos_view):
        function.argtypes = [handle, c.c_uint32]
        function.restype = handle
    return library


class Plane:
    """The running data plane. One process has one; every method is called from one thread."""

    def __init__(self, library: Union[str, Path]) -> None:
        """Load ``library``; raises OSError when it cannot be used on this machine."""
        self._c = _library(Path(library))
        self._modes: Tuple[str, ...] = ()
        self.events_fd = -1

    def start(self, *, workers: int, files: int, receive_buffer: int = 131072, epoll: bool = False) -> None:
        """Start the worker threads; ``files`` is the process' limit of open files.

        With ``epoll`` they do without io_uring, even where the kernel has it.
        """
        conf = _Conf(workers=workers, receive_buffer=receive_buffer, files=min(files, 2**31), epoll=epoll)
        self.events_fd = _checked(self._c.vos_start(c.byref(conf)), "cannot start the data plane")

    def low_latency(self, *, on: bool) -> None:
        """Keep the workers' cores from halting, each worker pinned to one, or let them halt again.

        Raises OSError where that cannot be had: without io_uring as of Linux 6.14 (ENOSYS), or for workers beyond
        the number of cores (EINVAL). Those that can, do.
        """
        _checked(self._c.vos_low_latency(int(on)), "cannot keep cores awake")

    def stop(self) -> None:
        """End the workers and close every stream's sockets; streams are invalid afterwards."""
        self._c.vos_stop()
        self.events_fd = -1

    @property
    def handle(self) -> Any:
        """The loaded library, for what declares functions of its own."""
        return self._c

    @property
    def crypto(self) -> str:
        """The version of libcrypto in use, or "" where there is none."""
        return str(self._c.vos_crypto().decode())

    @property
    def modes(self) -> Tuple[str, ...]:
        """The modes that work with the libcrypto of this machine."""
        if not self._modes:
            works = int(self._c.vos_modes())
            self._modes = tuple(mode for mode, bit in MODES.items() if works >> bit & 1)
        return self._modes

    @property
    def events_lost(self) -> int:
        """Events that found the pipe full."""
        return int(self._c.vos_events_lost())

    def open(self, host: str, port: int) -> Tuple[int, int]:
        """Bind RTP to ``port`` and RTCP to the next; return both descriptors. Raises OSError."""
        fds = _Pair()
        _done(self._c.vos_open(layout.address(host, port), fds))
        return fds[0], fds[1]

    def close(self, fds: Tuple[int, int]) -> None:
        """Close what ``open`` gave and no stream has taken."""
        self._c.vos_close(_Pair(*fds))

    def add(self, number: int, legs: Tuple[bytes, bytes]) -> Stream:
        """Start relaying between two legs; on failure the sockets stay the caller's. Raises OSError."""
        handle = c.c_void_p()
        _done(self._c.vos_add(number, legs[0] + legs[1], c.byref(handle)))
        assert handle.value is not None
        first, second = (
            Live(self._c.vos_entry(handle, side), self._c.vos_view(handle, side)) for side in (0, 1)
        )
        return Stream(handle.value, (first, second))

    def change(self, stream: Stream, side: int, leg: bytes, what: int) -> None:
        """Change parts of a leg (``CHANGE_…``); the rest goes on undisturbed. Raises OSError."""
        _done(self._c.vos_change(stream.handle, side, leg, what))

    def remove(self, stream: Stream) -> Tuple[Dict[str, int], Dict[str, int]]:
        """Stop a stream and return its last counters; ``stream`` is invalid afterwards."""
        last = layout.room_for_counters()
        self._c.vos_remove(stream.handle, last)
        return layout.both_counters(last.raw)

    def refresh(self, stream: Optional[Stream] = None) -> None:
        """Bring what the kernel dropped into the counters of one stream, or of all."""
        self._c.vos_refresh(stream.handle if stream else None)

    def read_events(self) -> List[Event]:
        """Return the events that have come since the last call."""
        try:
            raw = os.read(self.events_fd, layout.EVENT_SIZE * 512)
        except BlockingIOError:
            return []
        return [
            Event(EVENTS[kind], side, stream, remote, value)
            for kind, side, stream, remote, value in layout.events(raw)
        ]


def _done(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise RelayError(f"{what}: {os.strerror(-result)}")
    return result
