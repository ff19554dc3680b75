"""What the wire shows is judged by the wire format's document alone."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest

from vosctl.demo import capture
from vosctl.demo.sdp import Crypto
from vosctl.fleet import HostSpec

VECTORS = Path(__file__).parents[2] / "docs" / "wire-vectors.json"
KEY = b"0123456789abcdef"
CRYPTO = Crypto("aes128", "k", bytes.fromhex("a1b2c3d4"))


def rtp(number: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, number, number * 160, 0x1234) + payload


def ethernet(data: bytes, *, kind: int = 0x0800, protocol: int = 17) -> bytes:
    udp = struct.pack("!HHHH", 1000, 2000, 8 + len(data), 0) + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0)
    ip += socket.inet_aton("10.231.0.2") + socket.inet_aton("10.231.0.3")
    return bytes(12) + kind.to_bytes(2, "big") + ip + udp


def encrypted(frames: list[bytes]) -> list[capture.Packet]:
    # Counter mode is its own inverse.
    made = []
    for number, frame in enumerate(frames):
        plain = rtp(number, frame)
        made.append(rtp(number, capture.decrypt(plain, CRYPTO, KEY)))
    return [capture.Packet(("a", 1), ("b", 2), data) for data in made]


def test_the_documents_vectors_decrypt():
    vectors = json.loads(VECTORS.read_text())
    vectors = vectors["vectors"] if isinstance(vectors, dict) else vectors
    assert {vector["mode"] for vector in vectors} >= {"xor", "rc4", "aes128"}
    for vector in vectors:
        crypto = Crypto(vector["mode"], "k", bytes.fromhex(vector["salt"]))
        plain, cipher = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["cipher"])
        payload = capture.decrypt(cipher, crypto, vector["key"].encode())
        assert plain.endswith(payload)
        assert payload == capture.Packet(("a", 1), ("b", 2), plain).payload


def test_a_frame_is_parsed_and_anything_else_is_not_rtp():
    packet = capture.parse(ethernet(rtp(7, b"voice")))
    assert packet == capture.Packet(("10.231.0.2", 1000), ("10.231.0.3", 2000), rtp(7, b"voice"))
    assert (packet.number, packet.payload) == (7, b"voice")
    for frame in (
        b"", bytes(14), ethernet(rtp(7, b"x"), kind=0x86DD), ethernet(rtp(7, b"x"), protocol=6), ethernet(b"short"),
        ethernet(bytes((0x81, 200)) + bytes(40)), ethernet(b"REGISTER sip:100@10.231.0.2 SIP/2.0"),
    ):  # fmt: skip
        assert capture.parse(frame) is None


def test_the_proof_holds_only_for_ciphertext_of_every_frame():
    frames = [bytes((number,)) * 160 for number in range(20)]
    packets = encrypted(frames)
    assert capture.prove(packets, frames, CRYPTO, KEY).holds
    in_clear = [*packets[:-1], capture.Packet(("a", 1), ("b", 2), rtp(19, frames[19]))]
    assert capture.prove(in_clear, frames, CRYPTO, KEY).plain == 1
    for wrong in (in_clear, packets[:-1], encrypted(frames[::-1]), []):
        assert not capture.prove(wrong, frames, CRYPTO, KEY).holds
    assert not capture.prove(packets, frames, CRYPTO, KEY[::-1]).holds
    assert not capture.prove(packets, frames, Crypto("aes128", "k", bytes(4)), KEY).holds


@pytest.mark.netns
def test_a_wire_is_heard_in_both_directions(make_fleet):
    fleet = make_fleet(HostSpec("a", "10.231.0.2", sshd=False), HostSpec("b", "10.231.0.3", sshd=False))
    wire = capture.Wire(fleet.inside(None, capture.Wire.tap), fleet.port("a"))
    one, two = (fleet.socket(name, socket.AF_INET, socket.SOCK_DGRAM) for name in ("a", "b"))
    with one, two:
        one.bind(("10.231.0.2", 4000))
        two.bind(("10.231.0.3", 4000))
        two.settimeout(5)
        one.settimeout(5)
        for number in range(50):
            one.sendto(rtp(number, b"there"), ("10.231.0.3", 4000))
            two.recv(100)
            two.sendto(rtp(number, b"back"), ("10.231.0.2", 4000))
            one.recv(100)
    seen = wire.stop()
    assert [packet.number for packet in seen if packet.payload == b"there"] == list(range(50))
    assert [packet.number for packet in seen if packet.payload == b"back"] == list(range(50))
