"""The data plane's structures as bytes: what it is given is packed, what it counts is unpacked, in one step each."""

from __future__ import annotations

import ctypes as c
import functools
import ipaddress
import socket
import struct
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

from vosctl.errors import RelayError

LONG_COUNTERS = (
    *("packets", "bytes", "dropped", "malformed", "held", "overrun", "rtcp_packets", "rtcp_bytes", "sent"),
    *("sent_bytes", "send_errors", "rtcp_sent", "late", "loss_runs", "run_lost", "burst_lost"),
    *("expected", "reordered", "duplicate", "unauthentic"),
)
SHORT_COUNTERS = ("jitter_us", "ssrc", "sources", "payload_type", "playout_us", "rtt_us", "ptime_us", "spare")

Endpoint = Tuple[str, int]

_ADDR = struct.Struct("=HHI16s")
_LEG = struct.Struct("=ii24s24s24s24s8BI3H2B16s16s512s264s264s")
_FLOW = struct.Struct("=24s24s16s24s24s264s264sII")
_COUNTERS = struct.Struct("=20Q8I")
_VIEW = struct.Struct("=II24s24sQ")
_CLOCKS = struct.Struct("=128I")
_EVENT = struct.Struct("=IIQ24sQ")
_COUNTER_NAMES = (*LONG_COUNTERS, *SHORT_COUNTERS)

# `struct vos_entry`, `struct vos_leg_conf`, `struct vos_view` and `struct vos_event`, as `vos_sizes` numbers them.
SIZES = (_FLOW.size + _COUNTERS.size, _LEG.size, _VIEW.size, _EVENT.size)
NOWHERE = bytes(_ADDR.size)
NO_TRANSFORM = bytes(264)


@functools.lru_cache(maxsize=4096)
def _packed(ip: str) -> Tuple[int, bytes]:
    found = ipaddress.ip_address(ip)
    return found.version, found.packed


@functools.lru_cache(maxsize=4096)
def _text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def address(host: str, port: int = 0) -> bytes:
    """Return ``struct vos_addr`` of a literal IP; ``fe80::1%eth0`` carries its interface."""
    name, _, interface = host.partition("%")
    family, packed = _packed(name)
    scope = 0
    if interface:
        scope = int(interface) if interface.isdigit() else _interface_index(interface)
    return _ADDR.pack(family, port, scope, packed)


def _interface_index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise RelayError(f"no network interface {interface!r}") from None


def host_and_port(raw: bytes) -> Tuple[bytes, int]:
    """Return the IP address as it stands in a packet, and the port, of a ``struct vos_addr``."""
    family, port, _, ip = _ADDR.unpack(raw)
    return ip[:4] if family == 4 else ip, port


def endpoint(raw: bytes) -> Optional[Endpoint]:
    """Return host and port of a ``struct vos_addr``, None for no address."""
    if raw == NOWHERE:
        return None
    host, port = host_and_port(raw)
    return _text(host), port


@functools.lru_cache(maxsize=1024)
def payload_types(numbers: Tuple[int, ...]) -> bytes:
    """Return a set of payload types, a bit each."""
    return sum(1 << number for number in set(numbers)).to_bytes(16, "little")


def clocks(table: Tuple[int, ...]) -> bytes:
    """Return the RTP clocks of the 128 payload types, in Hz."""
    return _CLOCKS.pack(*table)


def leg(
    *,
    fds: Tuple[int, int],
    addresses: Tuple[bytes, bytes, bytes, bytes],
    switches: Tuple[int, ...],
    timeout_ms: int,
    playout: Tuple[int, ...],
    sets: Tuple[bytes, bytes, bytes],
    transforms: Tuple[bytes, bytes],
) -> bytes:
    """Return ``struct vos_leg_conf``.

    ``addresses`` are local, remote, rtcp_remote and from; ``switches`` the eight bytes from learn to udptl;
    ``playout`` minimum, maximum, start, on and adaptive; ``sets`` payload types, events and clocks.
    """
    return _LEG.pack(*fds, *addresses, *switches, timeout_ms, *playout, *sets, *transforms)


def counters(raw: bytes) -> Dict[str, int]:
    """Return ``struct vos_counters`` by name."""
    return dict(zip(_COUNTER_NAMES, _COUNTERS.unpack(raw)))  # noqa: B905 (Python 3.9 has no strict=)


def both_counters(raw: bytes) -> Tuple[Dict[str, int], Dict[str, int]]:
    """Return the counters of two legs that lie behind one another."""
    return counters(raw[: _COUNTERS.size]), counters(raw[_COUNTERS.size :])


def room_for_counters() -> Any:
    """Return a buffer for the counters of two legs."""
    return c.create_string_buffer(2 * _COUNTERS.size)


class View(NamedTuple):
    """What a leg has learned, and when anything genuine was last heard (ms of the monotonic clock, 0: never)."""

    mismatch: bool
    learned: Optional[Endpoint]
    rtcp_learned: Optional[Endpoint]
    last_ms: int


class Live(NamedTuple):
    """Where in memory the worker counts for one leg: its entry and its view."""

    entry: int
    view: int

    def counters(self) -> Dict[str, int]:
        """Return the leg's counters as they are now."""
        return counters(c.string_at(self.entry + _FLOW.size, _COUNTERS.size))

    def read(self) -> View:
        """Return the leg's view, read whole although the worker may be writing."""
        for _ in range(1000):
            before, mismatch, learned, rtcp_learned, last_ms = _VIEW.unpack(
                c.string_at(self.view, _VIEW.size)
            )
            if before % 2 == 0 and c.c_uint32.from_address(self.view).value == before:
                return View(bool(mismatch), endpoint(learned), endpoint(rtcp_learned), last_ms)
        return View(bool(mismatch), None, None, last_ms)


def events(raw: bytes) -> Iterable[Tuple[int, int, int, Optional[Endpoint], int]]:
    """Return kind, side, stream, far end and value of each event in ``raw``."""
    for kind, side, stream, remote, value in _EVENT.iter_unpack(raw):
        yield kind, side, stream, endpoint(remote), value


EVENT_SIZE = _EVENT.size
