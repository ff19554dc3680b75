"""Bent NG messages, SDPs and WAVs against their parsers, for as many seconds as asked: ``text_fuzz.py SECONDS [SEED]``.

Whatever comes, the parsers return a value or raise the error that they promise. The last case is
printed where they do not, and the exit code is 1. ``guided_fuzz.py`` has the same targets where Atheris is installed.
"""

from __future__ import annotations

import random
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import dialogue

from vosctl.relay.control import bencode, crypto_attr, rewrite, sdes, sdp, wav
from vosctl.relay.control.request import RefusalError, read

SDP_CASES = Path(__file__).resolve().parents[1] / "relay" / "control" / "sdp"
BATCH = 200
PIECES = (
    b"d", b"l", b"i", b"e", b":", b"0:", b"99999999:", b"i-0e", b"i" + b"9" * 30 + b"e", b"l" * 40, b"\r\n", b"\n", b"\0",
    b"m=audio 0 RTP/AVP 0\r\n", b"c=IN IP6 ::1\r\n", b"a=rtcp:70000 IN IP4 x\r\n", b"a=rtpmap:8 PCMA/99999999999\r\n",
    b"a=crypto:1 ", b"a=vos-crypto:", b"65536", b"-1", b"\xff\xfe", "é".encode(),
)  # fmt: skip


def seeds() -> list[bytes]:
    """Return what grows from: messages, sounds, and the dialogues of the tests with their SDPs."""
    dialogues = dialogue.seeds(SDP_CASES)
    messages = [
        bencode.encode({"command": command, "call-id": "c", "from-tag": "f", "to-tag": "t", "flags": ["a"], "sdp": "v=0\r\n"})
        for command in ("offer", "answer", "delete", "query", "ping")
    ]  # fmt: skip
    sounds = [
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, kind, 2, rate, 0, 0, bits) + b"data\x20\0\0\0" + bytes(32)
        for kind, rate, bits in ((1, 16000, 16), (1, 8000, 8), (6, 44100, 8), (7, 8000, 8), (0xFFFE, 8000, 16))
    ]  # fmt: skip
    return messages + sounds + dialogues + dialogue.descriptions(dialogues)


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
        assert len(sdes.usable(media)) <= len(media.sdes)
        one_key(media.crypto or "")
    written_again(description)


def one_key(value: str) -> None:
    """Read as ``a=vos-crypto``; what is read is written in the same words again."""
    try:
        found = crypto_attr.parse(value)
    except crypto_attr.CryptoError:
        return
    assert not found.encrypts or crypto_attr.parse(found.attribute()) == found


def written_again(description: sdp.Description) -> None:
    """Nothing of the far end's addresses is left in what the other party gets, and it can be read."""
    way = rewrite.Outgoing(40000, 40001, mux=False, direction="sendrecv", protocol="", sdes=())
    ways = [rewrite.REJECTED if media.rejected else way for media in description.media]
    again = sdp.parse(rewrite.write(description, "192.0.2.77", ways))
    assert [media.kind for media in again.media] == [media.kind for media in description.media]
    for media in again.media:
        assert media.rejected or media.address in {"192.0.2.77", "0.0.0.0", "::"}
        assert media.rejected or media.port == 40000
        assert media.rtcp is None or media.rtcp == (40001, None)
        assert not media.sdes


def one_sound(data: bytes) -> None:
    """Play as a WAV: G.711 of a known length, or the error that says why not."""
    if data[:4] != b"RIFF":
        return
    try:
        sound = wav.convert(data, "pcma")
    except wav.WavError:
        return
    assert 0 <= len(sound) <= wav.MAX_SECONDS * wav.RATE


TARGETS: tuple[Callable[[bytes], None], ...] = (
    one_message,
    one_description,
    one_sound,
    dialogue.one_dialogue,
)


def every_target(data: bytes) -> None:
    """Put one case to all parsers."""
    for target in TARGETS:
        target(data)


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
