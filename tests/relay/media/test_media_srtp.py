"""SRTP against libsrtp2, packet for packet, and against the vectors of RFC 3711, RFC 6229, RFC 7714 and SP 800-38A."""

from __future__ import annotations

import base64
import ctypes
import errno
import hashlib
import hmac
import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from media_driver import Media, Phone
from pylibsrtp import Policy, Session

from vosctl.relay.media import build
from vosctl.relay.media.plane import SUITES, Transform

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
}
Phones = Callable[..., Phone]
Result = tuple[int, bytes]


def rtp(seq: int, payload: bytes, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, seq % 65536, seq * 160 % 2**32, ssrc) + payload


def rtcp(words: int, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1 + words, ssrc) + os.urandom(4 * words)


@pytest.fixture
def context(dataplane: Any) -> Any:
    """Makes contexts of the data plane: functions of a packet, ``seal`` and ``rtcp``."""
    made = []

    def make(suite: str, key: bytes) -> Callable[..., Result]:
        handle = ctypes.c_void_p()
        how = Transform.of(suite, key, bytes(4))
        assert dataplane.vos_srtp_create(ctypes.byref(how), ctypes.byref(handle)) == 0
        made.append(handle)

        def run(packet: bytes, *, seal: bool, rtcp: bool = False) -> Result:
            buffer = ctypes.create_string_buffer(packet, len(packet) + 24)
            size = ctypes.c_size_t(len(packet))
            result = dataplane.vos_srtp_packet(handle, buffer, ctypes.byref(size), int(seal), int(rtcp))
            return result, buffer.raw[: size.value]

        return run

    yield make
    for handle in made:
        dataplane.vos_srtp_free(handle)


def peer(suite: str, key: bytes) -> tuple[Session, Session]:
    """libsrtp2's sender and receiver."""
    kinds = Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND
    first, second = (Policy(key=key, ssrc_type=kind, srtp_profile=PROFILES[suite]) for kind in kinds)
    return Session(first), Session(second)


@pytest.mark.parametrize("suite", SUITES)
def test_rtp_is_what_libsrtp_makes(context: Any, suite: str) -> None:
    """With lengths of all kinds, across two wraps of the sequence number; every packet a second time is refused."""
    key, noise = os.urandom(SUITES[suite]), random.Random(5)
    mine, back = context(suite, key), context(suite, key)
    sender, _ = peer(suite, key)
    for seq in [*range(65000, 65700), *range(65700, 197000, 30000), *range(197000, 197200)]:
        packet = rtp(seq, noise.randbytes(noise.choice((0, 1, 15, 16, 17, 160, 1100))))
        sealed = sender.protect(packet)
        assert mine(packet, seal=True) == (0, sealed)
        assert back(sealed, seal=False) == (0, packet)
        assert back(sealed, seal=False)[0] == -errno.EEXIST
        assert mine(packet, seal=True)[0] == -errno.EEXIST


def advanced(sender: Session, last: int) -> None:
    """Bring libsrtp's sender to index ``last``, in steps that it follows."""
    for seq in range(0, last, 30000):
        sender.protect(rtp(seq, b""))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("rollovers", [1, 66, 256], ids=["22 minutes", "a day", "four days"])
def test_who_comes_late_finds_the_rollover_counter(context: Any, suite: str, rollovers: int) -> None:
    """A context that has not followed the stream finds its place within 33 packets, and takes all that follow."""
    key = os.urandom(SUITES[suite])
    late, (sender, _) = context(suite, key), peer(suite, key)
    begin = (rollovers << 16) + 60000
    advanced(sender, begin)
    found = []
    for seq in range(begin, begin + 7000):  # across one more wrap
        packet = rtp(seq, b"sound" * 32)
        found.append(late(sender.protect(packet), seal=False) == (0, packet))
    first = found.index(True)
    assert first == (rollovers - 1) // 8
    assert all(found[first:])


def test_a_running_stream_that_leaps_is_found_again_and_forgers_do_not_move_it(context: Any) -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    key = os.urandom(30)
    late, (sender, _), forger = context(suite, key), peer(suite, key), peer(suite, os.urandom(30))[0]
    assert late(sender.protect(rtp(1, b"one")), seal=False) == (0, rtp(1, b"one"))
    for seq in range(2, 3000):
        assert late(forger.protect(rtp(seq, b"forged")), seal=False)[0] == -errno.EBADMSG
    packet = rtp(2, b"two")
    assert late(sender.protect(packet), seal=False) == (0, packet)
    advanced(sender, 200_000)
    found = [late(sender.protect(rtp(seq, b"on")), seal=False)[0] for seq in range(200_000, 200_020)]
    assert found == [-errno.EBADMSG] * 8 + [0] * 12


@pytest.mark.parametrize("suite", SUITES)
def test_rtcp_goes_both_ways(context: Any, suite: str) -> None:
    key = os.urandom(SUITES[suite])
    mine, back = context(suite, key), context(suite, key)
    sender, receiver = peer(suite, key)
    for words in range(60):
        packet = rtcp(words)
        result, sealed = mine(packet, seal=True, rtcp=True)
        assert result == 0
        assert receiver.unprotect_rtcp(sealed) == packet
        sealed = sender.protect_rtcp(packet)
        assert back(sealed, seal=False, rtcp=True) == (0, packet)
        assert back(sealed, seal=False, rtcp=True)[0] == -errno.EEXIST


@pytest.mark.parametrize("suite", SUITES)
def test_order_may_be_lost_within_the_window(context: Any, suite: str) -> None:
    """Shuffled, and with losses, around the wrap; libsrtp2 takes the same packets."""
    key = os.urandom(SUITES[suite])
    mine, back = context(suite, key), context(suite, key)
    _, receiver = peer(suite, key)
    packets = [rtp(seq, b"sound" * 30) for seq in range(65300, 65900)]
    sealed = [(mine(packet, seal=True)[1], packet) for packet in packets]
    noise = random.Random(1)
    for start in range(0, len(sealed), 60):
        some = noise.sample(sealed[start : start + 60], 50)
        for wire, packet in some:
            assert back(wire, seal=False) == (0, packet)
            assert receiver.unprotect(wire) == packet
    assert back(sealed[0][0], seal=False)[0] == -errno.EEXIST, "older than the window"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("control", [False, True], ids=["rtp", "rtcp"])
def test_a_changed_bit_anywhere_is_refused_and_leaves_no_trace(
    context: Any, suite: str, control: bool
) -> None:
    key = os.urandom(SUITES[suite])
    back = context(suite, key)
    plain = rtcp(5) if control else rtp(1, b"speech" * 5)
    _, sealed = context(suite, key)(plain, seal=True, rtcp=control)
    for at in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        assert back(bytes(changed), seal=False, rtcp=control)[0] < 0, at
    for length in range(len(sealed)):
        assert back(sealed[:length], seal=False, rtcp=control)[0] == -errno.EBADMSG
    assert back(sealed, seal=False, rtcp=control) == (0, plain)


def test_the_keystream_of_rfc_3711(dataplane: Any) -> None:
    """Appendix B.2: its counter block is what mode aes128 makes of this header and salt."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    how = Transform.of("aes128", key, bytes.fromhex("fafbfcfd"))
    packet = bytes.fromhex("8008f8f9f4f5f6f7f0f1f2f3") + bytes(48)
    buffer = ctypes.create_string_buffer(packet, len(packet))
    assert dataplane.vos_transform_packet(ctypes.byref(how), buffer, ctypes.c_size_t(len(packet))) == 0
    assert buffer.raw[12:].hex() == (
        "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0"
    )


def test_the_key_derivation_of_rfc_3711(context: Any) -> None:
    """Appendix B.3: what its master key seals is what its session keys encrypt and authenticate."""
    master = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
    key, salt = (
        bytes.fromhex("c61e7a93744f39ee10734afe3ff7a087"),
        bytes.fromhex("30cbbc08863d8c85d49db34a9ae1"),
    )
    auth = bytes.fromhex("cebe321f6ff7716b6fd4ab49af256a156d38baa4")
    packet = rtp(4660, b"the sound of a telephone" * 7, ssrc=0xDEADBEEF)
    place = int.from_bytes(salt + bytes(2), "big") ^ 0xDEADBEEF << 64 ^ 4660 << 16
    cipher = Cipher(algorithms.AES(key), modes.CTR(place.to_bytes(16, "big"))).encryptor()
    wire = packet[:12] + cipher.update(packet[12:])
    tag = hmac.new(auth, wire + bytes(4), hashlib.sha1).digest()[:10]
    assert context("AES_CM_128_HMAC_SHA1_80", master)(packet, seal=True) == (0, wire + tag)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs srtp_driver.c, which reaches below the interface."""
    sources = [str(path) for path in build.SOURCES.glob("*.c") if path.name != "srtp.c"]
    command = [build.compiler(), "-std=c11", "-D_GNU_SOURCE", "-pthread", f"-I{build.SOURCES}"]
    program = str(tmp_path_factory.mktemp("srtp") / "driver")
    driver_c = str(Path(__file__).parent / "srtp_driver.c")
    subprocess.run([*command, driver_c, *sources, "-o", program, "-ldl"], check=True)

    def run(*arguments: str) -> str:
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

    return run


def test_the_packet_of_rfc_7714(driver: Callable[..., str]) -> None:
    """Section 16.1.1, after the key derivation."""
    sealed = driver(
        "000102030405060708090a0b0c0d0e0f",
        "517569642070726f2071756f",
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    )
    assert sealed == (
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )


def vectors(name: str) -> list[dict[str, str]]:
    """The cases of a file of cryptography-vectors: ``NAME = VALUE``, a case from each COUNT on."""
    text = (Path(cryptography_vectors.__file__).parent / "ciphers" / name).read_text()
    cases: list[dict[str, str]] = []
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if key == "COUNT":
            cases.append({})
        elif equals and cases and not line.startswith("#"):
            cases[-1][key] = value
    assert cases
    return cases


@pytest.mark.parametrize("size", [128, 192, 256])
def test_the_keystream_of_rfc_6229(driver: Callable[..., str], size: int) -> None:
    for case in vectors(f"ARC4/rfc-6229-{size}.txt"):
        assert driver("rc4", case["KEY"], case["OFFSET"]) == case["CIPHERTEXT"].lower()


def counter_mode(dataplane: Any, key: bytes, counter: bytes, data: bytes) -> bytes:
    """Encrypt by mode aes128, whose counter is the block's last two bytes and begins at 0 in each packet."""
    before = 16 * int.from_bytes(counter[14:], "big")
    packet = b"\x80\x08" + counter[8:10] + counter[4:8] + counter[:4] + bytes(before) + data
    how = Transform.of("aes128", key, counter[10:14])
    buffer = ctypes.create_string_buffer(packet, len(packet))
    assert dataplane.vos_transform_packet(ctypes.byref(how), buffer, ctypes.c_size_t(len(packet))) == 0
    return buffer.raw[12 + before :]


def test_the_counter_mode_of_sp_800_38a(dataplane: Any) -> None:
    """F.5.1."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    assert counter_mode(dataplane, key, bytes(range(0xF0, 0x100)), plain).hex() == (
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
    )


def test_the_counter_mode_of_rfc_3686(dataplane: Any) -> None:
    for case in vectors("AES/CTR/aes-128-ctr.txt"):
        key, counter, plain = (bytes.fromhex(case[name]) for name in ("KEY", "IV", "PLAINTEXT"))
        assert counter_mode(dataplane, key, counter, plain).hex() == case["CIPHERTEXT"].lower()


def add(media: Media, plain: Phone, srtp: Phone, suite: str, rx: bytes, tx: bytes, **fields: Any) -> Any:
    keys = {
        way: {"mode": "srtp", "kid": suite, "key": base64.b64encode(key).decode()}
        for way, key in (("rx", rx), ("tx", tx))
    }
    return media.request(
        "add", call="c", stream=0, a=media.leg(plain), b=media.leg(srtp, **{**keys, **fields})
    )


@pytest.mark.parametrize("suite", SUITES)
def test_a_call_between_srtp_and_rtp(media: Media, phone: Phones, suite: str) -> None:
    plain, srtp = phone(), phone()
    rx, tx = os.urandom(SUITES[suite]), os.urandom(SUITES[suite])
    made = add(media, plain, srtp, suite, rx, tx)
    sender, receiver = peer(suite, rx)[0], peer(suite, tx)[1]
    for seq in range(50):
        packet = rtp(seq, os.urandom(160))
        plain.send(packet, made["a"]["local"])
        assert receiver.unprotect(srtp.receive()) == packet
        srtp.send(sender.protect(packet), made["b"]["local"])
        assert plain.receive() == packet
    report = rtcp(6)
    srtp.rtcp.sendto(sender.protect_rtcp(report), (media.address, made["b"]["rtcp"]))
    assert plain.rtcp.recv(2048) == report
    plain.rtcp.sendto(report, (media.address, made["a"]["rtcp"]))
    assert receiver.unprotect_rtcp(srtp.rtcp.recv(2048)) == report
    assert media.counters("c")["b"]["unauthentic"] == 0


def test_a_leg_locks_on_the_first_packet_that_authenticates(media: Media, phone: Phones) -> None:
    """Strangers of the same host, with and without SRTP, are not learned, whatever comes first."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    plain, stranger = phone(), phone("127.0.0.9")
    genuine = phone("127.0.0.9")
    rx, tx = os.urandom(30), os.urandom(30)
    made = add(
        media, plain, genuine, suite, rx, tx, remote=["10.9.9.9", 9], learn="nat", **{"from": "127.0.0.9"}
    )
    forger, sender = peer(suite, os.urandom(30))[0], peer(suite, rx)[0]
    for seq in range(20):
        stranger.send(forger.protect(rtp(seq, b"forged" * 20, ssrc=9)), made["b"]["local"])
        stranger.send(rtp(seq, b"plain" * 20, ssrc=10), made["b"]["local"])
    media.until("c", "b", unauthentic=40)
    assert media.counters("c")["b"]["learned"] is None
    sealed = sender.protect(rtp(1, b"genuine"))
    genuine.send(sealed, made["b"]["local"])
    assert plain.receive() == rtp(1, b"genuine")
    assert media.counters("c")["b"]["learned"] == list(genuine.name)
    genuine.send(sealed, made["b"]["local"])
    media.until("c", "b", unauthentic=41)
    assert plain.waiting() == []


def test_another_key_is_told(media: Media, phone: Phones) -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    plain, srtp = phone(), phone()
    made = add(media, plain, srtp, suite, os.urandom(30), os.urandom(30))
    wrong = peer(suite, os.urandom(30))[0]
    for seq in range(60):
        srtp.send(wrong.protect(rtp(seq, b"sound" * 32)), made["b"]["local"])
    media.wait_event("key-mismatch", call="c", side="b")
    assert media.counters("c")["b"]["key_mismatch"]
    assert plain.waiting() == []
