"""The wire format as docs/wire-format.md gives it to strangers: its script and its vectors."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "wire-format.md"
VECTORS = ROOT / "docs" / "wire-vectors.json"
KEYS = {
    "xor": ("Bridge7", "a", "Q" + "0123456789abcdefghijklmnopqrstuvwxyz" * 7 + "ABC"),
    "rc4": ("Harbour4Station2", "NightTrain31ToTheHarbour40Berlin"),
    "aes128": ("Paris2Lyon4Metz6", "0pen5ea8lueWater"),
}


def script_text() -> str:
    """The document's script."""
    _, _, after = DOCUMENT.read_text().partition("<!-- script -->")
    return after.split("```python\n", 1)[1].split("```", 1)[0]


def script() -> ModuleType:
    """The document's script as a module; its ``transform(mode, key, salt, packet)`` is the reference."""
    module = ModuleType("wire_format_script")
    exec(compile(script_text(), str(DOCUMENT), "exec"), module.__dict__)
    return module


def packet(
    payload: bytes,
    *,
    pt: int = 8,
    seq: int = 1,
    ts: int = 160,
    ssrc: int = 0x1234ABCD,
    marker: bool = False,
    csrc: tuple[int, ...] = (),
    extension: bytes | None = None,
    padding: int = 0,
) -> bytes:
    """An RTP packet (RFC 3550 §5.1)."""
    first = 0x80 | len(csrc) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = struct.pack("!BBHII", first, pt | marker << 7, seq & 0xFFFF, ts & 0xFFFFFFFF, ssrc)
    head += b"".join(struct.pack("!I", one) for one in csrc)
    if extension is not None:
        head += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    return head + payload + tail


def make_vectors() -> list[dict[str, str]]:
    """What docs/wire-vectors.json holds: the same every time."""
    chance = random.Random("vosctl wire format")
    transform = script().transform
    vectors = []
    for mode, keys in KEYS.items():
        for key in keys:
            for salt in ("00000000", f"{chance.getrandbits(32):08x}"):
                for plain in _packets(chance):
                    cipher = transform(mode, key.encode(), bytes.fromhex(salt), plain)
                    vectors.append(
                        {"mode": mode, "key": key, "salt": salt, "plain": plain.hex(), "cipher": cipher.hex()}
                    )
    return vectors


def _packets(chance: random.Random) -> list[bytes]:
    def numbers() -> dict[str, int]:
        return {"seq": chance.getrandbits(16), "ts": chance.getrandbits(32), "ssrc": chance.getrandbits(32)}

    csrc = (chance.getrandbits(32), chance.getrandbits(32))
    return [
        packet(chance.randbytes(160), **numbers()),
        packet(chance.randbytes(24), **numbers(), marker=True, csrc=csrc, extension=chance.randbytes(8)),
        packet(chance.randbytes(17), **numbers(), padding=3),
        packet(chance.randbytes(1), **numbers(), pt=101, extension=b""),
        packet(b"", **numbers()),
        packet(chance.randbytes(1400), **numbers(), pt=96),
    ]


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(make_vectors(), indent=1) + "\n")
