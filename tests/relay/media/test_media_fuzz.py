"""Hostile packets through the C parsers and transforms under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
from wire_reference import packet

from vosctl.relay.media import build


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("fuzz") / "packet_driver"
    flags = [flag for flag in build.FLAGS if flag != "-shared"]
    sources = [*sorted(build.SOURCES.glob("*.c")), Path(__file__).with_name("packet_driver.c")]
    command = [build.compiler(), *flags, *build.SANITIZE, f"-I{build.SOURCES}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources), "-ldl"], check=True)
    return program


def run(driver: Path, packets: list[bytes]) -> dict[str, int]:
    data = b"".join(struct.pack("!H", len(one)) + one for one in packets)
    environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:exitcode=99"}
    done = subprocess.run([driver], input=data, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_random_bytes(driver: Path) -> None:
    chance = random.Random(11)
    packets = [chance.randbytes(chance.randrange(120)) for _ in range(20_000)]
    packets += [bytes([0x80 | one[0] & 0x3F]) + one[1:] for one in packets if one]
    seen = run(driver, packets)
    assert seen["all"] == len(packets)
    assert 0 < seen["rtp"] < len(packets)


def test_every_truncation_of_every_header(driver: Path) -> None:
    whole = [
        packet(b"payload" * 3, csrc=tuple(range(count)), extension=extension, padding=2)
        for count in range(16)
        for extension in (None, b"", b"word" * 3)
    ]
    assert run(driver, whole)["rtp"] == len(whole)
    seen = run(driver, [one[:cut] for one in whole for cut in range(len(one))])
    assert seen["rtp"] == sum(len(one) - header(one) for one in whole)


def header(one: bytes) -> int:
    length = 12 + 4 * (one[0] & 15)
    return length + 4 + 4 * int.from_bytes(one[length + 2 : length + 4], "big") if one[0] & 0x10 else length


def test_counts_and_lengths_beyond_the_end(driver: Path) -> None:
    chance = random.Random(12)
    packets = []
    for _ in range(5000):
        one = bytearray(packet(chance.randbytes(chance.randrange(60)), extension=b"word"))
        one[0] = 0x90 | chance.randrange(16)
        for _ in range(3):
            one[chance.randrange(len(one))] = chance.choice((0, 0xFF, chance.randrange(256)))
        packets.append(bytes(one))
    run(driver, packets)


def test_rtcp_compounds_cut_and_bent(driver: Path) -> None:
    chance = random.Random(13)
    packets = []
    for _ in range(5000):
        parts = [
            struct.pack("!BBH", 0x80, chance.randrange(190, 226), words) + chance.randbytes(4 * words)
            for words in (chance.randrange(8) for _ in range(chance.randrange(1, 5)))
        ]
        whole = b"".join(parts)
        packets.append(whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.5 else whole)
    assert run(driver, packets)["rtcp"] > 100


def test_the_longest_packets(driver: Path) -> None:
    run(
        driver,
        [packet(bytes(size), extension=bytes(4 * 15000)) for size in (0, 1, 15, 1535, 1536, 1537, 5000)],
    )
