"""Reads what tcpdump wrote: RTP by flow, with what it carried."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Flow:
    """The RTP packets between two UDP endpoints, in one direction."""

    packets: int = 0
    sounds: Counter[int] = field(default_factory=Counter)


def flows(path: Path, *, since: float = 0.0) -> dict[tuple[str, int, str, int], Flow]:
    """RTP by (source, port, destination, port); ``sounds`` counts packets by the first byte of their payload."""
    raw = path.read_bytes()
    found: dict[tuple[str, int, str, int], Flow] = {}
    at = 24
    while at + 16 <= len(raw):
        seconds, micro, kept, _ = struct.unpack_from("<IIII", raw, at)
        frame = raw[at + 16 : at + 16 + kept]
        at += 16 + kept
        if seconds + micro / 1e6 >= since:
            _take(found, frame)
    return found


def _take(found: dict, frame: bytes) -> None:
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800 and frame[23] == 17:
        family, hosts, udp = socket.AF_INET, (frame[26:30], frame[30:34]), 34
    elif kind == 0x86DD and frame[20] == 17:
        family, hosts, udp = socket.AF_INET6, (frame[22:38], frame[38:54]), 54
    else:
        return
    source, destination = struct.unpack_from("!HH", frame, udp)
    rtp = frame[udp + 8 :]
    if 5060 in {source, destination} or len(rtp) < 13 or rtp[0] != 0x80:
        return
    near, far = (socket.inet_ntop(family, host) for host in hosts)
    flow = found.setdefault((near, source, far, destination), Flow())
    flow.packets += 1
    flow.sounds[rtp[12]] += 1
