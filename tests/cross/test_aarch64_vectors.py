"""The data plane of aarch64 under QEMU: the document's vectors, those of RFC 7714, RFC 6229 and hostile packets."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from vosctl.relay.media import build
from vosctl.relay.media.plane import MODES

COMPILER = "aarch64-linux-gnu-gcc"
LIBC = "/usr/aarch64-linux-gnu"
ROOT = Path(__file__).parents[2]
DRIVERS = ROOT / "tests/relay/media"
VECTORS = json.loads((ROOT / "docs/wire-vectors.json").read_text())
LIBRARIES = Path(os.environ["VOSCTL_CROSS"]) / "usr/lib/aarch64-linux-gnu"

pytestmark = pytest.mark.requires(COMPILER, "qemu-aarch64")


def compiled(folder: Path, driver: Path, *, whole: bool = True) -> Path:
    """Compile a driver for aarch64, with the data plane, or without the file that it includes itself."""
    program = folder / driver.stem
    sources = [each for each in sorted(build.SOURCES.glob("*.c")) if whole or each.name != "srtp.c"]
    flags = [flag for flag in build.FLAGS if flag not in {"-shared", "-fPIC"}]
    words = [COMPILER, *flags, "-I", build.SOURCES, "-o", program, driver, *sources, "-ldl", "-lm"]
    subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    return program


def emulated(program: Path, *words: str, given: bytes = b"") -> str:
    """Run a program of aarch64 and return what it writes."""
    argv = ["qemu-aarch64", "-L", LIBC, "-E", f"LD_LIBRARY_PATH={LIBRARIES}:{LIBC}/lib", str(program), *words]
    done = subprocess.run(argv, check=False, input=given, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("transform"), Path(__file__).with_name("transform_driver.c"))


@pytest.fixture(scope="module")
def srtp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("srtp"), DRIVERS / "srtp_driver.c", whole=False)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['mode']}-{vector['salt']}")
def test_wire_vectors(transform: Path, vector: dict[str, str]) -> None:
    mode = str(MODES[vector["mode"]])
    assert emulated(transform, mode, vector["key"], vector["salt"], vector["plain"]) == vector["cipher"]
    assert emulated(transform, mode, vector["key"], vector["salt"], vector["cipher"]) == vector["plain"]


def test_srtp_in_galois_counter_mode(srtp: Path) -> None:
    # RFC 7714 §16.1.1
    plain = (
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
    )
    sealed = (
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )
    key, salt = "000102030405060708090a0b0c0d0e0f", "517569642070726f2071756f"
    assert emulated(srtp, key, salt, plain) == sealed


def test_rc4(srtp: Path) -> None:
    # RFC 6229 §2, 128-bit key, offset 240
    assert (
        emulated(srtp, "rc4", "0102030405060708090a0b0c0d0e0f10", "240") == "065902e4b620f6cc36c8589f66432f2b"
    )


def test_hostile_packets(tmp_path: Path) -> None:
    program = compiled(tmp_path, DRIVERS / "packet_driver.c")
    noise = random.Random(7)
    packets = [
        bytes((0x80 | noise.getrandbits(5),)) + noise.randbytes(noise.randrange(1500)) for _ in range(2000)
    ]
    given = b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)
    assert json.loads(emulated(program, given=given))["all"] == len(packets)
