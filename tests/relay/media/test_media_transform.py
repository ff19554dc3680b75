"""The C transforms against the document's script, its vectors, and the laws that every mode obeys."""

from __future__ import annotations

import ctypes
import errno
import json
from typing import Any

import pytest
import wire_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from vosctl.relay.media.plane import Transform

LENGTHS = {"xor": (1, 256), "rc4": (16, 32), "aes128": (16, 16)}
REFERENCE = wire_reference.script().transform
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def transform(dataplane: Any, mode: str, key: bytes, salt: bytes, packet: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(packet, len(packet))
    how = Transform.of(mode, key, salt)
    result = dataplane.vos_transform_packet(ctypes.byref(how), buffer, ctypes.c_size_t(len(packet)))
    assert result == 0, errno.errorcode.get(-result)
    return buffer.raw


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, bytes, bytes, bytes, int]:
    mode = draw(st.sampled_from(sorted(LENGTHS)))
    low, high = LENGTHS[mode]
    key = draw(st.text(ALPHABET, min_size=low, max_size=high)).encode()
    csrc = tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=15)))
    extension = draw(st.none() | st.binary(max_size=40).map(lambda raw: raw[: len(raw) // 4 * 4]))
    packet = wire_reference.packet(
        draw(st.binary(max_size=2000)),
        pt=draw(st.integers(0, 127)),
        seq=draw(st.integers(0, 65535)),
        ts=draw(st.integers(0, 2**32 - 1)),
        ssrc=draw(st.integers(0, 2**32 - 1)),
        csrc=csrc,
        extension=extension,
    )
    header = 12 + 4 * len(csrc) + (0 if extension is None else 4 + len(extension))
    return mode, key, draw(st.binary(min_size=4, max_size=4)), packet, header


@given(case=cases())
@settings(max_examples=400, deadline=None)
def test_every_packet_is_as_the_document_says(
    dataplane: Any, case: tuple[str, bytes, bytes, bytes, int]
) -> None:
    mode, key, salt, packet, header = case
    out = transform(dataplane, mode, key, salt, packet)
    assert out == REFERENCE(mode, key, salt, packet)
    assert len(out) == len(packet)
    assert out[:header] == packet[:header]
    assert transform(dataplane, mode, key, salt, out) == packet


@pytest.mark.parametrize(
    "vector", json.loads(wire_reference.VECTORS.read_text()), ids=lambda v: f"{v['mode']}-{v['salt']}"
)
def test_vectors(dataplane: Any, vector: dict[str, str]) -> None:
    key, salt, plain = vector["key"].encode(), bytes.fromhex(vector["salt"]), bytes.fromhex(vector["plain"])
    assert transform(dataplane, vector["mode"], key, salt, plain).hex() == vector["cipher"]


def test_the_vectors_file_is_what_the_document_gives() -> None:
    assert json.loads(wire_reference.VECTORS.read_text()) == wire_reference.make_vectors()


def test_the_documents_example_is_right() -> None:
    text = wire_reference.DOCUMENT.read_text().partition("<!-- example -->")[2].partition("##")[0]
    plain = bytes.fromhex(
        "9188303900 01e240 0badcafe 0000002a bede0001 10640000 d5d5d4d7d6d1d0d3d2dddcdfded9d8dbdac5c4c7"
    )
    cipher = REFERENCE("aes128", b"Paris2Lyon4Metz6", bytes.fromhex("5eed00a7"), plain)
    shown = "".join(text.split("on the wire is")[1].split())
    assert shown.startswith(cipher.hex())


@pytest.mark.parametrize(
    ("mode", "key"),
    [("xor", b""), ("rc4", b"f" * 15), ("rc4", b"t" * 33), ("aes128", b"f" * 15), ("aes128", b"s" * 17)],
)
def test_a_key_of_the_wrong_length_is_refused(dataplane: Any, mode: str, key: bytes) -> None:
    how = Transform.of(mode, key, bytes(4))
    packet = ctypes.create_string_buffer(wire_reference.packet(b"x" * 20))
    before = packet.raw
    assert dataplane.vos_transform_packet(ctypes.byref(how), packet, ctypes.c_size_t(32)) == -errno.EINVAL
    assert packet.raw == before


@pytest.mark.parametrize(
    ("packet", "header"),
    [
        (wire_reference.packet(b""), 12),
        (wire_reference.packet(b"", csrc=tuple(range(15))), 72),
        (wire_reference.packet(b"", csrc=(1,), extension=b"1234"), 24),
        (wire_reference.packet(b"", extension=b""), 16),
        (b"", None),
        (b"\x80" * 11, None),
        (b"\x40" + bytes(30), None),
        (b"\x81" + bytes(14), None),
        (b"\x90" + bytes(14), None),
        (b"\x90" + bytes(11) + b"\xbe\xde\x00\x01" + bytes(3), None),
        (b"\x90" + bytes(11) + b"\xbe\xde\xff\xff" + bytes(500), None),
    ],
)
def test_header_bounds(dataplane: Any, packet: bytes, header: int | None) -> None:
    found = dataplane.vos_rtp_header(packet, ctypes.c_size_t(len(packet)))
    assert found == (-errno.EBADMSG if header is None else header)


@pytest.mark.parametrize(
    ("packet", "valid"),
    [
        (b"\x80\xc9\x00\x01" + bytes(4), True),
        (b"\x80\xc9\x00\x01" + bytes(4) + b"\x81\xca\x00\x02" + bytes(8), True),
        (b"\x80\xc9\x00\x01", False),
        (b"\x80\xc9\x00\x02" + bytes(4), False),
        (b"\x80\xc9\x00\x01" + bytes(4) + b"\x81\xca", False),
        (b"\x40\xc9\x00\x01" + bytes(4), False),
        (b"\x80\x08\x00\x01" + bytes(4), False),
    ],
)
def test_rtcp_bounds(dataplane: Any, packet: bytes, valid: bool) -> None:
    assert dataplane.vos_rtcp_valid(packet, ctypes.c_size_t(len(packet))) == (0 if valid else -errno.EBADMSG)
