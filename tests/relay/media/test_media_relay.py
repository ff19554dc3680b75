"""Packets through a real media process: modes, both directions, IPv6, RTCP, multiplexing, DSCP, hold."""

from __future__ import annotations

import io
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wire_reference
from media_driver import Media, Phone
from wire_reference import packet

MODES = ("none", "xor", "rc4", "aes128")
PLAIN = {"mode": "none"}
REFERENCE = wire_reference.script().transform
RECEIVER_REPORT = (
    struct.pack("!BBHI", 0x80, 201, 1, 0xCAFE) + struct.pack("!BBHI", 0x81, 202, 2, 0xCAFE) + bytes(4)
)
Phones = Callable[..., Phone]


@pytest.fixture(params=[(), ("--epoll",)], ids=["as-the-kernel-can", "epoll"])
def media(start: Callable[..., Media], request: pytest.FixtureRequest) -> Media:
    """A media process on each of the two ways to wait for packets."""
    return start(arguments=request.param)


def keyed(media: Media, mode: str) -> tuple[str, str]:
    """Give media a key of the mode and return its id and value."""
    value = "none" if mode == "none" else wire_reference.KEYS[mode][0]
    media.request("keys", keys={"trunk": {"value": value}})
    return "trunk", value


def crypt(mode: str, salt: str) -> dict[str, str]:
    return {"mode": mode, "kid": "trunk", "salt": salt} if mode != "none" else PLAIN


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])
def test_both_directions(media: Media, phone: Phones, mode: str, family: int) -> None:
    """A plain telephone and the far end of a trunk; each direction has its own salt."""
    _, key = keyed(media, mode)
    host = "::1" if family == socket.AF_INET6 else ""
    if host:
        media.address = host
    plain, trunk = phone(host, family=family), phone(host, family=family)
    out, back = "0a0b0c0d", "11223344"
    made = media.request(
        "add", call="c", stream=0,
        a=media.leg(plain), b=media.leg(trunk, tx=crypt(mode, out), rx=crypt(mode, back)),
    )  # fmt: skip
    for seq in range(20):
        sent = packet(
            bytes(range(seq, seq + 160)),
            seq=seq,
            ts=seq * 160,
            csrc=(7,) if seq % 2 else (),
            extension=b"abcd",
        )
        plain.send(sent, made["a"]["local"])
        wire = trunk.receive()
        assert wire == (sent if mode == "none" else REFERENCE(mode, key.encode(), bytes.fromhex(out), sent))
        answer = packet(bytes(range(seq, seq + 80)), seq=seq, ts=seq * 160, ssrc=99)
        wire = answer if mode == "none" else REFERENCE(mode, key.encode(), bytes.fromhex(back), answer)
        trunk.send(wire, made["b"]["local"])
        assert plain.receive() == answer
    last = media.request("remove", call="c")["counters"]["streams"][0]
    assert (last["a"]["packets"], last["b"]["packets"], last["a"]["sent"], last["b"]["sent"]) == (
        20,
        20,
        20,
        20,
    )
    assert (
        last["a"]["lost"] == last["a"]["dropped"] == last["a"]["malformed"] == last["a"]["send_errors"] == 0
    )


@pytest.mark.parametrize("mode", ["xor", "rc4", "aes128"])
def test_a_strangers_script_decrypts_the_trunk(
    media: Media, phone: Phones, tmp_path: Path, mode: str
) -> None:
    """The script of docs/wire-format.md, run as its reader would run it, on what the relay put on the wire."""
    _, key = keyed(media, mode)
    plain, trunk = phone(), phone()
    made = media.request(
        "add", call="c", stream=0, a=media.leg(plain), b=media.leg(trunk, tx=crypt(mode, "5eed00a7"))
    )
    sent = [packet(bytes([seq]) * 160, seq=seq, ts=160 * seq) for seq in range(10)]
    wire = []
    for one in sent:
        plain.send(one, made["a"]["local"])
        wire.append(trunk.receive())
    assert not set(sent) & set(wire)
    text = wire_reference.script_text()
    assert len(text.splitlines()) <= 34, "the document promises about thirty lines"
    (tmp_path / "decrypt.py").write_text(text)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "decrypt.py"), mode, key, "5eed00a7"],
        input="".join(f"{one.hex()}\n" for one in wire), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [bytes.fromhex(line) for line in io.StringIO(done.stdout).read().split()] == sent


def test_two_encrypted_legs_with_keys_of_their_own(media: Media, phone: Phones) -> None:
    keys = {"left": wire_reference.KEYS["rc4"][0], "right": wire_reference.KEYS["aes128"][0]}
    media.request("keys", keys={kid: {"value": value} for kid, value in keys.items()})
    left, right = phone(), phone()
    made = media.request(
        "add", call="c", stream=0,
        a=media.leg(left, rx={"mode": "rc4", "kid": "left", "salt": "00000001"}),
        b=media.leg(right, tx={"mode": "aes128", "kid": "right", "salt": "00000002"}),
    )  # fmt: skip
    sent = packet(b"speech" * 20)
    left.send(REFERENCE("rc4", keys["left"].encode(), bytes.fromhex("00000001"), sent), made["a"]["local"])
    assert right.receive() == REFERENCE("aes128", keys["right"].encode(), bytes.fromhex("00000002"), sent)


def test_ipv4_on_one_side_and_ipv6_on_the_other(media: Media, phone: Phones) -> None:
    four, six = phone(), phone("::1", family=socket.AF_INET6)
    made = media.request(
        "add", call="c", stream=0, a=media.leg(four), b={"address": "::1", "remote": list(six.name)}
    )
    four.send(packet(b"from four"), made["a"]["local"])
    assert six.receive() == packet(b"from four")
    six.send(packet(b"from six"), made["b"]["local"])
    assert four.receive() == packet(b"from six")


@pytest.mark.parametrize("mode", ["none", "aes128"])
def test_rtcp_goes_its_own_way_and_plain(media: Media, phone: Phones, mode: str) -> None:
    keyed(media, mode)
    left, right, stranger = phone(), phone(), phone()
    made = media.request(
        "add", call="c", stream=0, a=media.leg(left), b=media.leg(right, tx=crypt(mode, "00000000"))
    )
    to = (made["a"]["local"][0], made["a"]["rtcp"])
    assert made["a"]["rtcp"] == made["a"]["local"][1] + 1
    stranger.rtcp.sendto(RECEIVER_REPORT, to)
    left.rtcp.sendto(RECEIVER_REPORT[:5], to)
    left.rtcp.sendto(RECEIVER_REPORT, to)
    got, source = right.rtcp.recvfrom(2000)
    assert got == RECEIVER_REPORT
    assert source == (made["b"]["local"][0], made["b"]["rtcp"])
    leg = media.counters("c")["a"]
    assert (leg["rtcp_packets"], leg["dropped"], leg["malformed"]) == (1, 1, 1)


def test_an_rtcp_address_of_its_own(media: Media, phone: Phones) -> None:
    left, right, elsewhere = phone(), phone(), phone()
    far = media.leg(right, rtcp_remote=list(elsewhere.rtcp.getsockname()))
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=far)
    left.rtcp.sendto(RECEIVER_REPORT, (made["a"]["local"][0], made["a"]["rtcp"]))
    assert elsewhere.rtcp.recv(2000) == RECEIVER_REPORT
    elsewhere.rtcp.sendto(RECEIVER_REPORT, (made["b"]["local"][0], made["b"]["rtcp"]))
    assert left.rtcp.recv(2000) == RECEIVER_REPORT


def test_multiplexed_rtcp_is_told_apart_and_bridged(media: Media, phone: Phones) -> None:
    """RFC 5761 §4: one side multiplexes, the other does not; the media between them is encrypted."""
    _, key = keyed(media, "aes128")
    muxed, split = phone(), phone()
    made = media.request(
        "add",
        call="c",
        stream=0,
        a=media.leg(muxed, mux=True),
        b=media.leg(split, tx=crypt("aes128", "00000000")),
    )
    muxed.send(RECEIVER_REPORT, made["a"]["local"])
    muxed.send(packet(b"media" * 9), made["a"]["local"])
    assert split.rtcp.recv(2000) == RECEIVER_REPORT
    assert split.receive() == REFERENCE("aes128", key.encode(), bytes(4), packet(b"media" * 9))
    split.rtcp.sendto(RECEIVER_REPORT, (made["b"]["local"][0], made["b"]["rtcp"]))
    assert muxed.receive() == RECEIVER_REPORT


def test_a_negotiated_payload_type_is_rtp_even_where_rtcp_could_be(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left, mux=True, pts=[72]), b=media.leg(right))
    left.send(packet(b"odd", pt=72, marker=True), made["a"]["local"])
    assert right.receive() == packet(b"odd", pt=72, marker=True)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])
def test_dscp_on_the_wire(media: Media, phone: Phones, family: int) -> None:
    host = "::1" if family == socket.AF_INET6 else ""
    media.address = host or media.address
    left, right = phone(host, family=family), phone(host, family=family)
    for one in (right.rtp, right.rtcp):
        if host:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        else:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)

    def marks(sink: socket.socket) -> int:
        _, ancillary, _, _ = sink.recvmsg(2000, 100)
        return int.from_bytes(ancillary[0][2][:1], "little")

    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    for dscp in (46, 34, 0):
        if dscp != 46:
            media.request("change", call="c", stream=0, b={"dscp": dscp})
        left.send(packet(b"x"), made["a"]["local"])
        left.rtcp.sendto(RECEIVER_REPORT, (made["a"]["local"][0], made["a"]["rtcp"]))
        assert (marks(right.rtp), marks(right.rtcp)) == (dscp << 2, dscp << 2)


def test_hold_stops_media_one_way_and_not_rtcp(media: Media, phone: Phones) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right, send=False))
    left.send(packet(b"held"), made["a"]["local"])
    left.rtcp.sendto(RECEIVER_REPORT, (made["a"]["local"][0], made["a"]["rtcp"]))
    assert right.rtcp.recv(2000) == RECEIVER_REPORT
    right.send(packet(b"music"), made["b"]["local"])
    assert left.receive() == packet(b"music")
    assert media.until("c", "a", packets=1)["held"] == 1
    media.request("change", call="c", stream=0, b={"send": True}, a={"receive": False})
    left.send(packet(b"held", seq=2), made["a"]["local"])
    assert media.until("c", "a", packets=2)["held"] == 2
    media.request("change", call="c", stream=0, a={"receive": True})
    left.send(packet(b"heard", seq=3), made["a"]["local"])
    assert right.receive() == packet(b"heard", seq=3)


@pytest.mark.parametrize("rubbish", [b"", b"\x80", b"\x00" * 172, b"\x8f" + bytes(20), b"\x90" + bytes(13)])
def test_malformed_packets_are_counted_and_dropped(media: Media, phone: Phones, rubbish: bytes) -> None:
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    left.send(rubbish, made["a"]["local"])
    left.send(packet(b"good"), made["a"]["local"])
    assert right.receive() == packet(b"good")
    assert media.counters("c")["a"]["malformed"] == 1


def test_calls_of_one_key_end_without_taking_it_from_the_others(media: Media, phone: Phones) -> None:
    _, key = keyed(media, "aes128")
    left, right = phone(), phone()
    sent = packet(b"media" * 9)

    def add(number: int) -> tuple[str, int]:
        far = media.leg(right, tx=crypt("aes128", f"{number:08x}"))
        made = media.request("add", call=f"c{number}", stream=0, a=media.leg(left), b=far)
        host, port = made["a"]["local"]
        return host, port

    def passes(number: int, at: tuple[str, int]) -> None:
        left.send(sent, at)
        assert right.receive() == REFERENCE("aes128", key.encode(), number.to_bytes(4, "big"), sent)

    ports = [add(number) for number in range(3)]
    for number in range(3):
        for still in range(number, 3):
            passes(still, ports[still])
        media.request("remove", call=f"c{number}")
    passes(3, add(3))


def test_the_largest_packet_passes_whole(media: Media, phone: Phones) -> None:
    _, key = keyed(media, "aes128")
    left, right = phone(), phone()
    made = media.request(
        "add", call="c", stream=0, a=media.leg(left), b=media.leg(right, tx=crypt("aes128", "00000000"))
    )
    sent = packet(bytes(range(256)) * 255)
    left.send(sent, made["a"]["local"])
    assert right.receive() == REFERENCE("aes128", key.encode(), bytes(4), sent)


def test_a_far_end_that_refuses_packets_does_not_stop_the_stream(media: Media, phone: Phones) -> None:
    """ICMP errors come back to a connected socket; the packets after them must still go out."""
    left, right = phone(), phone()
    made = media.request("add", call="c", stream=0, a=media.leg(left), b=media.leg(right))
    name = right.name
    right.close()
    for seq in range(10):
        left.send(packet(b"lost", seq=seq), made["a"]["local"])
        media.until("c", "a", packets=seq + 1)
    back = phone(name[0], port=name[1])
    left.send(packet(b"heard", seq=10), made["a"]["local"])
    assert back.receive() == packet(b"heard", seq=10)


def test_five_hundred_flows_keep_apart(media: Media, phone: Phones) -> None:
    """250 calls with keys of their own direction by direction: each packet arrives where it belongs, once."""
    _, key = keyed(media, "aes128")
    pairs = []
    for number in range(250):
        left, right = phone(media.address), phone(media.address)
        made = media.request(
            "add", call=f"c{number}", stream=0, a=media.leg(left),
            b=media.leg(right, tx=crypt("aes128", f"{number:08x}")),
        )  # fmt: skip
        pairs.append((left, right, made))
    for seq in range(4):
        for number, (left, right, made) in enumerate(pairs):
            left.send(packet(json.dumps([number, seq]).encode(), seq=seq, ssrc=number), made["a"]["local"])
            right.send(packet(json.dumps([number, -seq]).encode(), seq=seq, ssrc=number), made["b"]["local"])
    for number, (left, right, _) in enumerate(pairs):
        for seq in range(4):
            there = REFERENCE("aes128", key.encode(), number.to_bytes(4, "big"), right.receive())
            assert json.loads(there[12:]) == [number, seq]
            assert json.loads(left.receive()[12:]) == [number, -seq]
    for left, right, _ in pairs:
        assert not left.waiting(0)
        assert not right.waiting(0)
