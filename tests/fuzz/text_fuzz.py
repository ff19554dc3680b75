"""Bent NG messages and SDPs against their parsers, for as many seconds as asked: ``text_fuzz.py SECONDS [SEED]``.

Whatever comes, the parsers return a value or raise the error that they promise. The last case is
printed where they do not, and the exit code is 1.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from vosctl.relay.control import bencode, sdp
from vosctl.relay.control.request import RefusalError, read

SDP_CASES = Path(__file__).resolve().parents[1] / "relay" / "control" / "sdp"
BATCH = 200
PIECES = (
    b"d", b"l", b"i", b"e", b":", b"0:", b"99999999:", b"i-0e", b"i" + b"9" * 30 + b"e", b"l" * 40, b"\r\n", b"\n", b"\0",
    b"m=audio 0 RTP/AVP 0\r\n", b"c=IN IP6 ::1\r\n", b"a=rtcp:70000 IN IP4 x\r\n", b"a=rtpmap:8 PCMA/99999999999\r\n",
    b"a=crypto:1 ", b"a=vos-crypto:", b"65536", b"-1", b"\xff\xfe", "é".encode(),
)  # fmt: skip


def seeds() -> list[bytes]:
    """Return what grows from: a message of each command, and the SDPs of the tests."""
    texts = [path.read_text().encode() for path in sorted(SDP_CASES.glob("*.txt"))]
    lines = b"".join(texts).split(b"\n\n")
    messages = [
        bencode.encode({"command": command, "call-id": "c", "from-tag": "f", "to-tag": "t", "flags": ["a"], "sdp": "v=0\r\n"})
        for command in ("offer", "answer", "delete", "query", "ping")
    ]  # fmt: skip
    return messages + [b"\r\n".join(text.strip().split(b"\n")) + b"\r\n" for text in lines if b"v=0" in text]


def bend(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` with a few bytes changed, cut, repeated or put in."""
    bent = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at, end = sorted(chance.randrange(len(bent) + 1) for _ in range(2))
        kind = chance.randrange(5)
        if kind == 0 and bent:
            bent[at % len(bent)] = chance.randrange(256)
        elif kind == 1:
            del bent[at:end]
        elif kind == 2:
            bent[at:at] = chance.choice(PIECES)
        elif kind == 3:
            bent[at:at] = bent[at:end] * chance.randrange(1, 4)
        else:
            bent[at:end] = chance.choice(PIECES)
    return bytes(bent[:70_000])


def one_message(data: bytes) -> None:
    """Decode, and read as a request; what was decoded is encoded to the same value again."""
    try:
        value = bencode.decode(data)
    except bencode.BencodeError:
        return
    assert bencode.decode(bencode.encode(value)) == value
    if isinstance(value, dict):
        try:
            read(value)
        except RefusalError:
            return


def one_description(data: bytes) -> None:
    """Parse as SDP; what the bounds promise holds for what comes out."""
    try:
        description = sdp.parse(data.decode(errors="surrogateescape"))
    except sdp.SdpError:
        return
    assert len(description.media) <= sdp.MAX_MEDIA
    for media in description.media:
        assert 0 <= media.port <= 65535


TARGETS: tuple[Callable[[bytes], None], ...] = (one_message, one_description)


def main(arguments: list[str]) -> int:
    """Fuzz for the seconds given; return an exit code."""
    seconds = float(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    chance, grown, count = random.Random(seed), seeds(), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(BATCH):
            case = bend(chance.choice(grown), chance)
            count += 1
            for target in TARGETS:
                try:
                    target(case)
                except Exception:
                    sys.stdout.write(f"{target.__name__}, seed {seed}: {case!r}\n{traceback.format_exc()}")
                    return 1
    sys.stdout.write(f"text: {count} cases, seed {seed}, nothing found\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
