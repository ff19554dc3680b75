"""The benches' own trunk encryption is the one that docs/wire-format.md describes."""

from __future__ import annotations

import ctypes
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "docs/wire-vectors.json").read_text(encoding="ascii"))
PLAIN_HEADER = 0x80


@pytest.mark.requires("cc")
def test_it_agrees_with_the_vectors(tmp_path: Path) -> None:
    made = tmp_path / "rtpcrypt.so"
    source = ROOT / "bench/rtpcrypt.c"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["cc", *flags, "-o", str(made), str(source), "-lcrypto"], check=True)
    library = ctypes.CDLL(str(made))
    library.crypt_new.restype = ctypes.c_void_p
    library.crypt_packet.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    seen = set()
    for vector in VECTORS:
        plain = bytes.fromhex(vector["plain"])
        if plain[0] != PLAIN_HEADER or int(vector["salt"], 16):
            continue
        packet = ctypes.create_string_buffer(plain, len(plain))
        cipher = library.crypt_new(f"{vector['mode']}:{vector['key']}".encode())
        library.crypt_packet(cipher, packet, len(plain))
        assert packet.raw.hex() == vector["cipher"]
        seen.add(vector["mode"])
    assert seen == {"xor", "rc4", "aes128"}
