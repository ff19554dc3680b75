"""The C data plane as Python sees it: its structures, its functions, and its errors as exceptions."""

from __future__ import annotations

import ctypes as c
import errno
import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from vosctl.errors import RelayError

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
LONG_COUNTERS = (
    *("packets", "bytes", "dropped", "malformed", "held", "overrun", "rtcp_packets", "rtcp_bytes", "sent"),
    *("sent_bytes", "send_errors", "rtcp_sent", "late", "loss_runs", "run_lost", "burst_lost"),
    *("expected", "reordered", "duplicate", "unauthentic"),
)

Endpoint = Tuple[str, int]


class Addr(c.Structure):
    """``struct vos_addr``."""

    _fields_ = [
        ("family", c.c_uint16),
        ("port", c.c_uint16),
        ("scope", c.c_uint32),
        ("ip", c.c_uint8 * 16),
    ]

    @classmethod
    def of(cls, host: str, port: int = 0) -> "Addr":
        """Return the address of a literal IP; ``fe80::1%eth0`` carries its interface."""
        name, _, interface = host.partition("%")
        ip = ipaddress.ip_address(name)
        addr = cls(family=ip.version, port=port)
        addr.ip[: len(ip.packed)] = ip.packed
        if interface:
            addr.scope = int(interface) if interface.isdigit() else _interface_index(interface)
        return addr

    def endpoint(self) -> Optional[Endpoint]:
        """Return (host, port), or None for no address."""
        if not self.family:
            return None
        raw = bytes(self.ip)
        ip = ipaddress.ip_address(raw[:4] if self.family == 4 else raw)
        return str(ip), int(self.port)


def _interface_index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise RelayError(f"no network interface {interface!r}") from None


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


class Counters(c.Structure):
    """``struct vos_counters``."""

    _fields_ = [
        *((name, c.c_uint64) for name in LONG_COUNTERS),
        ("jitter_us", c.c_uint32),
        ("ssrc", c.c_uint32),
        ("sources", c.c_uint32),
        ("payload_type", c.c_uint32),
        ("playout_us", c.c_uint32),
        ("rtt_us", c.c_uint32),
    ]


class _Match(c.Structure):
    _fields_ = [("local", Addr), ("remote", Addr), ("payload_types", c.c_uint8 * 16)]


class _Rewrite(c.Structure):
    _fields_ = [("source", Addr), ("destination", Addr)]


class Entry(c.Structure):
    """``struct vos_entry``: one direction of one stream."""

    _fields_ = [
        ("match", _Match),
        ("rewrite", _Rewrite),
        ("decrypt", Transform),
        ("encrypt", Transform),
        ("dscp", c.c_uint32),
        ("flags", c.c_uint32),
        ("counters", Counters),
    ]


class LegConf(c.Structure):
    """``struct vos_leg_conf``."""

    _fields_ = [
        ("rtp_fd", c.c_int32),
        ("rtcp_fd", c.c_int32),
        ("local", Addr),
        ("remote", Addr),
        ("rtcp_remote", Addr),
        ("from_", Addr),
        ("learn", c.c_uint8),
        ("mux", c.c_uint8),
        ("send", c.c_uint8),
        ("receive", c.c_uint8),
        ("dscp", c.c_uint8),
        ("judge", c.c_uint8),
        ("filter", c.c_uint8),
        ("udptl", c.c_uint8),
        ("timeout_ms", c.c_uint32),
        ("playout_ms", c.c_uint16 * 3),
        ("playout", c.c_uint8),
        ("adaptive", c.c_uint8),
        ("payload_types", c.c_uint8 * 16),
        ("events", c.c_uint8 * 16),
        ("clocks", c.c_uint32 * 128),
        ("rx", Transform),
        ("tx", Transform),
    ]


class View(c.Structure):
    """``struct vos_view``."""

    _fields_ = [
        ("version", c.c_uint32),
        ("mismatch", c.c_uint32),
        ("learned", Addr),
        ("rtcp_learned", Addr),
        ("last_ms", c.c_uint64),
    ]


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


_EVENT = struct.Struct("=IIQ24sQ")


class Stream(NamedTuple):
    """A running stream: its handle and the memory that the workers count in, one of each for a side."""

    handle: int
    entries: Tuple[Entry, Entry]
    views: Tuple[View, View]


def _library(path: Path) -> Any:
    library: Any = c.CDLL(str(path))
    library.vos_abi.restype = c.c_uint32
    if library.vos_abi() != ABI:
        raise OSError(
            errno.ENOEXEC, f"it has interface {library.vos_abi()}, this relay needs {ABI}", str(path)
        )
    library.vos_sizes.restype = library.vos_modes.restype = c.c_uint32
    for which, size in enumerate(map(c.sizeof, (Entry, LegConf, View))):
        if library.vos_sizes(which) != size:
            raise OSError(errno.ENOEXEC, "its structures differ from this relay's", str(path))
    library.vos_crypto.restype = c.c_char_p
    library.vos_events_lost.restype = c.c_uint64
    library.vos_refresh.restype = None
    library.vos_refresh.argtypes = [c.c_void_p]
    library.vos_stop.restype = None
    library.vos_close.restype = None
    handle = c.c_void_p
    library.vos_add.argtypes = [c.c_uint64, c.POINTER(LegConf), c.POINTER(handle)]
    library.vos_change.argtypes = [handle, c.c_uint32, c.POINTER(LegConf), c.c_uint32]
    library.vos_remove.argtypes = [handle, c.POINTER(Counters)]
    library.vos_entry.argtypes = [handle, c.c_uint32]
    library.vos_entry.restype = c.POINTER(Entry)
    library.vos_view.argtypes = [handle, c.c_uint32]
    library.vos_view.restype = c.POINTER(View)
    return library


class Plane:
    """The running data plane. One process has one; every method is called from one thread."""

    def __init__(self, library: Union[str, Path]) -> None:
        """Load ``library``; raises OSError when it cannot be used on this machine."""
        self._c = _library(Path(library))
        self.events_fd = -1

    def start(self, *, workers: int, files: int, receive_buffer: int = 131072, epoll: bool = False) -> None:
        """Start the worker threads; ``files`` is the process' limit of open files.

        With ``epoll`` they do without io_uring, even where the kernel has it.
        """
        conf = _Conf(workers=workers, receive_buffer=receive_buffer, files=min(files, 2**31), epoll=epoll)
        self.events_fd = _checked(self._c.vos_start(c.byref(conf)), "cannot start the data plane")

    def stop(self) -> None:
        """End the workers and close every stream's sockets; streams are invalid afterwards."""
        self._c.vos_stop()
        self.events_fd = -1

    @property
    def library(self) -> Any:
        """The loaded library, for what declares functions of its own."""
        return self._c

    @property
    def crypto(self) -> str:
        """The version of libcrypto in use, or "" where there is none."""
        return str(self._c.vos_crypto().decode())

    @property
    def modes(self) -> Tuple[str, ...]:
        """The modes that work with the libcrypto of this machine."""
        works = int(self._c.vos_modes())
        return tuple(mode for mode, bit in MODES.items() if works >> bit & 1)

    @property
    def events_lost(self) -> int:
        """Events that found the pipe full."""
        return int(self._c.vos_events_lost())

    def open(self, host: str, port: int) -> Tuple[int, int]:
        """Bind RTP to ``port`` and RTCP to the next; return both descriptors. Raises OSError."""
        fds = (c.c_int32 * 2)()
        result = self._c.vos_open(c.byref(Addr.of(host, port)), fds)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return fds[0], fds[1]

    def close(self, fds: Tuple[int, int]) -> None:
        """Close what ``open`` gave and no stream has taken."""
        self._c.vos_close((c.c_int32 * 2)(*fds))

    def add(self, number: int, legs: Sequence[LegConf]) -> Stream:
        """Start relaying between two legs; on failure the sockets stay the caller's. Raises OSError."""
        handle = c.c_void_p()
        result = self._c.vos_add(number, (LegConf * 2)(*legs), c.byref(handle))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        assert handle.value is not None
        entries = [self._c.vos_entry(handle, side).contents for side in (0, 1)]
        views = [self._c.vos_view(handle, side).contents for side in (0, 1)]
        return Stream(handle.value, (entries[0], entries[1]), (views[0], views[1]))

    def change(self, stream: Stream, side: int, leg: LegConf, what: int) -> None:
        """Change parts of a leg (``CHANGE_…``); the rest goes on undisturbed. Raises OSError."""
        result = self._c.vos_change(stream.handle, side, c.byref(leg), what)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def remove(self, stream: Stream) -> Tuple[Counters, Counters]:
        """Stop a stream and return its last counters; ``stream`` is invalid afterwards."""
        last = (Counters * 2)()
        self._c.vos_remove(stream.handle, last)
        return last[0], last[1]

    def refresh(self, stream: Optional[Stream] = None) -> None:
        """Bring what the kernel dropped into the counters of one stream, or of all."""
        self._c.vos_refresh(stream.handle if stream else None)

    def read_events(self) -> List[Event]:
        """Return the events that have come since the last call."""
        try:
            raw = os.read(self.events_fd, _EVENT.size * 512)
        except BlockingIOError:
            return []
        events = []
        for kind, side, stream, remote, value in _EVENT.iter_unpack(raw):
            addr = Addr.from_buffer_copy(remote)
            events.append(Event(EVENTS[kind], side, stream, addr.endpoint(), value))
        return events


def addresses(view: View) -> Tuple[Optional[Endpoint], Optional[Endpoint]]:
    """Return where RTP and RTCP come from, read whole although the worker may be writing."""
    for _ in range(1000):
        before = view.version
        found = Addr.from_buffer_copy(view.learned), Addr.from_buffer_copy(view.rtcp_learned)
        if before % 2 == 0 and view.version == before:
            return found[0].endpoint(), found[1].endpoint()
    return None, None


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise RelayError(f"{what}: {os.strerror(-result)}")
    return result
