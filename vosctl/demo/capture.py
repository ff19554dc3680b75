"""Listens to the trunk's wire and proves what it carried: ciphertext, and of which voice."""

from __future__ import annotations

import hashlib
import hmac
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from vosctl.demo.sdp import Crypto, media_address, move_media

_ETHERNET, _UDP_HEADER, _RTP_HEADER = 14, 8, 12
_UDP = 17
_DISCARDED = 256  # the first bytes of an RC4 keystream
_ALL_PROTOCOLS = 0x0003
_BUFFER = 1 << 22


@dataclass(frozen=True, slots=True)
class Packet:
    """An RTP packet seen on the wire."""

    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes

    @property
    def number(self) -> int:
        """The RTP sequence number."""
        return int.from_bytes(self.data[2:4], "big")

    @property
    def payload(self) -> bytes:
        """What follows the RTP header."""
        return self.data[_payload_start(self.data) :]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the wire carried in one direction.

    ``plain`` counts packets that carried the voice in clear, ``recovered`` those whose decryption is
    the voice, bit for bit, of ``packets`` on the wire for ``frames`` spoken.
    """

    frames: int
    packets: int
    plain: int
    recovered: int

    @property
    def holds(self) -> bool:
        """Whether every frame crossed the wire, none of them in clear and each of them decryptable."""
        return self.plain == 0 and self.packets == self.recovered == self.frames


class Wire:
    """Captures every UDP packet on one interface in the background; ``tap`` is an AF_PACKET socket."""

    def __init__(self, tap: socket.socket, interface: str) -> None:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        tap.bind((interface, _ALL_PROTOCOLS))
        tap.settimeout(0.05)
        self._tap = tap
        self._done = threading.Event()
        self.packets: list[Packet] = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    @staticmethod
    def tap() -> socket.socket:
        """Return a socket that hears everything on the network where it is made; needs root."""
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))

    def redirect(self, text: str) -> str:
        """Return the SDP as it is: a wire is watched from outside."""
        return text

    def stop(self) -> list[Packet]:
        """Stop listening and return what was seen."""
        self._done.set()
        self._thread.join()
        self._tap.close()
        return self.packets

    def _collect(self) -> None:
        while not self._done.is_set():
            self._keep()
        # What has passed is in the socket's buffer already.
        self._tap.setblocking(False)
        while self._keep():
            pass

    def _keep(self) -> bool:
        try:
            frame = self._tap.recv(65535)
        except (TimeoutError, BlockingIOError):
            return False
        packet = parse(frame)
        if packet is not None:
            self.packets.append(packet)
        return True


class Tap:
    """Stands between two relays and passes on what each sends to the other, keeping a copy.

    Each relay is given an address of the tap in place of the other's. ``address`` is the tap's.
    """

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._ends: list[tuple[socket.socket, tuple[str, int]]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._forward, name=f"tap-{name}", daemon=True)
        self.packets: list[Packet] = []

    def redirect(self, text: str) -> str:
        """Return the SDP with the tap's address; the second one (the answer) starts the forwarding."""
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind((self._address, 0))
        self._ends.append((end, media_address(text)))
        if len(self._ends) == 2:
            self._thread.start()
        return move_media(text, end.getsockname())

    def stop(self) -> list[Packet]:
        """Stop forwarding and return what passed."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        for end, _ in self._ends:
            end.close()
        return self.packets

    def _forward(self) -> None:
        (one, one_stands_for), (two, two_stands_for) = self._ends
        # What arrives where the tap stands for one relay goes to that relay, from where it stands for the other.
        ways = {one: (two, one_stands_for), two: (one, two_stands_for)}
        while not self._done.is_set():
            for end in select.select(tuple(ways), (), (), 0.05)[0]:
                data, source = end.recvfrom(65535)
                out, target = ways[end]
                out.sendto(data, target)
                self.packets.append(Packet(source, target, data))


def parse(frame: bytes) -> Packet | None:
    """Return the RTP packet in an Ethernet frame of IPv4; None for anything else."""
    ip = frame[_ETHERNET:]
    if len(ip) < 20 or frame[12:14] != b"\x08\x00" or ip[0] >> 4 != 4 or ip[9] != _UDP:
        return None
    udp = ip[(ip[0] & 0x0F) * 4 :]
    if len(udp) < _UDP_HEADER + _RTP_HEADER:
        return None
    source, target, length = struct.unpack_from("!HHH", udp)
    data = udp[_UDP_HEADER:length]
    if len(data) < _RTP_HEADER or data[0] >> 6 != 2 or 64 <= data[1] & 0x7F < 96:  # RTCP: RFC 5761 §4
        return None
    return Packet((socket.inet_ntoa(ip[12:16]), source), (socket.inet_ntoa(ip[16:20]), target), data)


def prove(packets: Sequence[Packet], frames: Sequence[bytes], crypto: Crypto | None, key: bytes) -> Proof:
    """Return what ``packets`` of one direction carried of ``frames``, the voice that was spoken."""
    plain = recovered = 0
    for packet in packets:
        spoken = frames[packet.number] if packet.number < len(frames) else None
        plain += packet.payload == spoken
        recovered += spoken is not None and decrypt(packet.data, crypto, key) == spoken
    return Proof(len(frames), len(packets), plain, recovered)


def decrypt(packet: bytes, crypto: Crypto | None, key: bytes) -> bytes:
    """Return the payload of an RTP packet in clear, by the wire format's document and nothing of the relay."""
    start = _payload_start(packet)
    body = packet[start:]
    if crypto is None:
        return body
    return _MODES[crypto.mode](packet, body, crypto.salt, key)


def _xor(_: bytes, body: bytes, __: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index % len(key)] for index, byte in enumerate(body))


def _rc4(packet: bytes, body: bytes, salt: bytes, key: bytes) -> bytes:
    sequence, timestamp, ssrc = packet[2:4], packet[4:8], packet[8:12]
    session = hmac.new(key, ssrc + timestamp + sequence + salt, hashlib.sha256).digest()[:16]
    stream = Cipher(ARC4(session), mode=None).decryptor()
    return stream.update(bytes(_DISCARDED) + body)[_DISCARDED:]


def _aes128(packet: bytes, body: bytes, salt: bytes, key: bytes) -> bytes:
    sequence, timestamp, ssrc = packet[2:4], packet[4:8], packet[8:12]
    counter = ssrc + timestamp + sequence + salt + bytes(2)
    return Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor().update(body)


_MODES: dict[str, Callable[[bytes, bytes, bytes, bytes], bytes]] = {
    "xor": _xor,
    "rc4": _rc4,
    "aes128": _aes128,
}


def _payload_start(packet: bytes) -> int:
    start = _RTP_HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        words = struct.unpack_from("!H", packet, start + 2)[0]
        start += 4 + 4 * int(words)
    return start
