"""Recordings of the media process: both families, SRTP decrypted, a limit, a full disk, and a folder that is gone."""

from __future__ import annotations

import base64
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from media_driver import Media, Phone, RefusedError
from pylibsrtp import Policy, Session
from wire_reference import packet

Phones = Callable[..., Phone]


class Frame(NamedTuple):
    """A recorded packet: UDP endpoints and payload, and whether the checksums are right."""

    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    right: bool


def recorded(path: Path) -> list[Frame]:
    raw, at, found = path.read_bytes(), 24, []
    while at < len(raw):
        kept = struct.unpack_from("<I", raw, at + 8)[0]
        assert at + 16 + kept <= len(raw), "the last packet is cut off"
        found.append(frame(raw[at + 16 : at + 16 + kept]))
        at += 16 + kept
    return found


def frame(data: bytes) -> Frame:
    if data[0] >> 4 == 6:
        family, hosts, at = socket.AF_INET6, (data[8:24], data[24:40]), 40
        assert data[6] == socket.IPPROTO_UDP
        assert struct.unpack_from("!H", data, 4)[0] == len(data) - 40
        # RFC 8200 §8.1: the sum over the pseudo header, UDP header and payload.
        right = total(hosts[0] + hosts[1] + struct.pack("!II", len(data) - 40, 17) + data[40:]) == 0xFFFF
    else:
        family, hosts, at = socket.AF_INET, (data[12:16], data[16:20]), 20
        right = total(data[:20]) == 0xFFFF
    near, far = (socket.inet_ntop(family, host) for host in hosts)
    ports = struct.unpack_from("!HH", data, at)
    return Frame((near, ports[0]), (far, ports[1]), data[at + 8 :], right)


def total(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def settled(path: Path, count: int) -> list[Frame]:
    deadline = time.monotonic() + 10
    while len(found := recorded(path)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_a_call_over_ipv6_and_ipv4_is_recorded_as_it_was_on_each_wire(
    media: Media, phone: Phones, tmp_path: Path
) -> None:
    media.configure(addresses=[media.address, "::1"])
    four, six = phone(), phone("::1", family=socket.AF_INET6)
    made = media.request(
        "add", call="c", stream=0, a=media.leg(four), b={"address": "::1", "remote": list(six.name)}
    )
    path = tmp_path / "c.pcap"
    media.request("record", call="c", path=str(path))
    sent = [packet(bytes([seq]) * 161, seq=seq) for seq in range(20)]
    for one in sent:
        six.send(one, made["b"]["local"])
        assert four.receive() == one
    four.send(sent[0], made["a"]["local"])
    assert six.receive() == sent[0]
    report = struct.pack("!BBHI", 0x80, 201, 1, 7)
    six.rtcp.sendto(report, ("::1", made["b"]["rtcp"]))
    assert four.rtcp.recv(2048) == report
    media.request("record", call="c", path=None)
    found = settled(path, 22)
    assert all(one.right for one in found)
    assert [one.payload for one in found] == [*sent, sent[0], report]
    assert found[0][:2] == (six.name, tuple(made["b"]["local"]))
    assert found[20][:2] == (four.name, tuple(made["a"]["local"]))


def test_srtp_is_recorded_in_the_clear(media: Media, phone: Phones, tmp_path: Path) -> None:
    suite, key = "AES_CM_128_HMAC_SHA1_80", os.urandom(30)
    plain, srtp = phone(), phone()
    crypt = {"mode": "srtp", "kid": suite, "key": base64.b64encode(key).decode()}
    made = media.request("add", call="c", stream=0, a=media.leg(plain), b=media.leg(srtp, rx=crypt, tx=crypt))
    path = tmp_path / "c.pcap"
    media.request("record", call="c", path=str(path))
    sender = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    sent = [packet(bytes([seq]) * 160, seq=seq) for seq in range(10)]
    for one in sent:
        srtp.send(sender.protect(one), made["b"]["local"])
        assert plain.receive() == one
        plain.send(one, made["a"]["local"])
        assert srtp.receive() != one
    media.request("record", call="c", path=None)
    assert [one.payload for one in settled(path, 20)] == [one for one in sent for _ in range(2)]


def test_a_recording_ends_at_its_limit_with_a_whole_packet_and_the_call_goes_on(
    media: Media, phone: Phones, tmp_path: Path
) -> None:
    first, second = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(first), b=media.leg(second))
    path = tmp_path / "c.pcap"
    media.request("record", call="c", path=str(path), most=4096)
    sent = [packet(bytes([seq]) * 160, seq=seq) for seq in range(60)]
    for one in sent:
        first.send(one, made["a"]["local"])
        assert second.receive() == one
    media.request("record", call="c", path=None)
    # 24 bytes of file header, then 16 of packet header, 28 of IP and UDP, 172 of RTP.
    fit = (4096 - 24) // (16 + 28 + 172)
    assert [one.payload for one in settled(path, fit)] == sent[:fit]
    assert path.stat().st_size <= 4096
    assert media.said().count("ends: it has its 4096 bytes") == 1
    again = tmp_path / "again.pcap"
    media.request("record", call="c", path=str(again))
    first.send(sent[0], made["a"]["local"])
    assert [one.payload for one in settled(again, 1)] == sent[:1]


def test_a_disk_that_becomes_full_ends_the_recording_and_nothing_else(
    start: Callable[..., Media], phone: Phones, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"import ctypes; assert not ctypes.CDLL(None).mount(b'none', {bytes(disk)!r}, b'tmpfs', 0, b'size=8k'); "
    media = start(python=("unshare", "--mount", sys.executable), before=mount)
    inside = Path(f"/proc/{media.process.pid}/root{disk}")  # nobody else sees what is mounted there
    first, second = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(first), b=media.leg(second))
    media.request("record", call="c", path=f"{disk}/c.pcap")
    sent = [packet(bytes([seq]) * 160, seq=seq) for seq in range(60)]
    for one in sent:
        first.send(one, made["a"]["local"])
        assert second.receive() == one
    media.request("record", call="c", path=None)
    fit = (8192 - 24) // (16 + 28 + 172)
    assert [one.payload for one in settled(inside / "c.pcap", fit)] == sent[:fit]
    assert media.said().count("c.pcap ends: no space left") == 1

    with pytest.raises(RefusedError, match=r"more\.pcap: No space left on device"):
        media.request("record", call="c", path=f"{disk}/more.pcap")
    assert [path.name for path in inside.iterdir()] == ["c.pcap"]
    descriptors = Path(f"/proc/{media.process.pid}/fd").iterdir()
    assert not any("more.pcap" in one.resolve().name for one in descriptors)
    (inside / "c.pcap").unlink()
    media.request("record", call="c", path=f"{disk}/more.pcap")
    first.send(sent[0], made["a"]["local"])
    assert [one.payload for one in settled(inside / "more.pcap", 1)] == sent[:1]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"path": "relative.pcap"}, "record.path: must be an absolute path"),
        ({"path": "/proc/nowhere/c.pcap"}, "/proc/nowhere/c.pcap: "),
        ({"path": "/tmp/c.pcap", "most": 10}, "most: must be 1024 to"),
    ],
)
def test_what_cannot_be_recorded_is_refused(media: Media, phone: Phones, fields: dict, told: str) -> None:
    media.request("add", call="c", stream=0, a=media.leg(phone()), b=media.leg(phone()))
    with pytest.raises(RefusedError, match=told):
        media.request("record", call="c", **fields)
