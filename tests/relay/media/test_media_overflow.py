"""What nobody fetches from the data plane in time: dropped and counted, and no packet of a call waits for it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vosctl.relay.media import build, layout
from vosctl.relay.media.plane import EVENTS, Plane, Stream

# One process has one data plane: each case is a process, which asserts for itself.
CASES = ("events", "copies")
_A_PAGE = 4096
_STREAMS = 200
_COPIES = 20_000
_PCMA = bytes([0x80, 8])
_F_SETPIPE_SZ = 1031


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_fetched_is_counted_and_holds_nothing_up(case: str) -> None:
    command = [sys.executable, str(Path(__file__).resolve()), case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def packet(seq: int) -> bytes:
    return _PCMA + seq.to_bytes(2, "big") + (seq * 160).to_bytes(4, "big") + b"ssrc" + bytes(160)


class Call:
    """Two phones on loopback and a stream between them."""

    def __init__(self, plane: Plane, number: int, port: int) -> None:
        self.phones = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        legs = []
        for side, phone in enumerate(self.phones):
            phone.bind(("127.0.0.1", 0))
            here = (layout.address("127.0.0.1", port + 2 * side), layout.address(*phone.getsockname()))
            legs.append(
                layout.leg(
                    fds=plane.open("127.0.0.1", port + 2 * side),
                    addresses=(*here, layout.NOWHERE, layout.NOWHERE),
                    switches=(0, 0, 1, 1, 0, 0, 0, 0),
                    timeout_ms=0,
                    playout=(0, 0, 0, 0, 0),
                    sets=(layout.payload_types((8,)), bytes(16), layout.clocks((8000,) * 128)),
                    transforms=(layout.NO_TRANSFORM, layout.NO_TRANSFORM),
                )
            )
        self.here = ("127.0.0.1", port)
        self.stream: Stream = plane.add(number, (legs[0], legs[1]))

    def pass_on(self, seq: int) -> None:
        """Send a packet from the first phone; it must come to the second."""
        self.phones[0].sendto(packet(seq), self.here)
        assert select.select([self.phones[1]], [], [], 5)[0], f"packet {seq} did not come"
        assert self.phones[1].recv(2048) == packet(seq)


def events(plane: Plane) -> None:
    """Each stream's first packet is an event; a pipe of one page holds some of them."""
    fcntl.fcntl(plane.events_fd, _F_SETPIPE_SZ, _A_PAGE)
    room = _A_PAGE // layout.EVENT_SIZE
    for number in range(_STREAMS):
        Call(plane, number, 20_000 + 4 * number).pass_on(1)
    first = [event for event in plane.read_events() if event.kind == EVENTS[1]]
    assert 0 < len(first) <= room < _STREAMS
    assert [event.stream for event in first] == list(range(len(first)))
    assert plane.events_lost == _STREAMS - len(first)
    # There is room again.
    Call(plane, 999, 30_000).pass_on(1)
    assert [event.stream for event in plane.read_events()] == [999]


def copies(plane: Plane) -> None:
    """A recording that nobody writes: its copies fill the socket, and the call goes on."""
    call = Call(plane, 1, 20_000)
    tap = plane.handle.vos_tap_open()
    assert tap >= 0
    plane.handle.vos_record.argtypes = [ctypes.c_void_p, ctypes.c_int]
    assert plane.handle.vos_record(call.stream.handle, 1) == 0
    for seq in range(_COPIES):
        call.pass_on(seq)
    kept = 0
    while select.select([tap], [], [], 0)[0]:
        assert os.read(tap, 70_000).endswith(packet(kept))
        kept += 1
    assert 0 < kept < _COPIES
    plane.handle.vos_tap_lost.restype = ctypes.c_uint64
    assert plane.handle.vos_tap_lost() == _COPIES - kept


if __name__ == "__main__":
    made = Plane(build.LIBRARY)
    made.start(workers=1, files=4096)
    {"events": events, "copies": copies}[sys.argv[1]](made)
    made.stop()
