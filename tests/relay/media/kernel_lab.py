"""Two network namespaces and a wire between them: the relay's, and the telephones'."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from media_driver import ROOT, Media, Phone

from vosctl.relay.kernel_path import CAPABILITIES

RELAY, RELAY6 = "10.77.0.1", "fd00:77::1"
# Media begins with no more than the unit gives it: what these tests show takes no more.
UNIT = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from vosctl.relay import privileges; "
    f"privileges.drop(keep={CAPABILITIES}); "
)
NOTHING = UNIT.replace(f"keep={CAPABILITIES}", "")
_NEWNET = 0x40000000
_PROG_QUERY, _TCX_INGRESS = 16, 46
_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_ETHTOOL_STXCSUM, _SIOCETHTOOL = 0x17, 0x8946


class Lab:
    """The namespaces, media processes in one of them, telephones in the other."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        tag = f"kl{os.getpid()}"
        self.relay, self.phones = f"{tag}r", f"{tag}p"
        self.near, self.far = "near0", "far0"
        self._hosts = iter(range(2, 250))

    def open(self) -> None:
        for name in (self.relay, self.phones):
            ip("netns", "add", name)
            self._stack.callback(subprocess.run, ("ip", "netns", "del", name), check=False)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "link",
            "add",
            self.near,
            "netns",
            self.relay,
            "type",
            "veth",
            "peer",
            self.far,
            "netns",
            self.phones,
        )
        for name, device, host in ((self.relay, self.near, 1), (self.phones, self.far, 254)):
            ip("-n", name, "addr", "add", f"10.77.0.{host}/16", "dev", device)
            ip("-n", name, "addr", "add", f"fd00:77::{host:x}/64", "dev", device, "nodad")
            ip("-n", name, "link", "set", device, "up")

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Be in a namespace: sockets and processes that are made meanwhile stay there."""
        with Path("/proc/self/ns/net").open("rb") as here, Path("/run/netns", name).open("rb") as there:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(here.fileno())

    def media(
        self, *, path: bool = True, before: str = UNIT, addresses: tuple[str, ...] = (RELAY, RELAY6)
    ) -> Media:
        run = self.folder / f"run{len(list(self.folder.iterdir()))}"
        run.mkdir()
        arguments = ("--kernel-path", *addresses) if path else ()
        with self.inside(self.relay):
            media = Media(run, arguments=arguments, before=before)
        self._stack.callback(media.stop)
        media.address = RELAY
        media.configure(addresses=[RELAY, RELAY6], kernel_path=path)
        return media

    def phone(self, host: str = "", *, six: bool = False) -> Phone:
        number = next(self._hosts)
        host = host or (f"fd00:77::{number:x}" if six else f"10.77.1.{number}")
        width = "64" if six else "16"
        with self.inside(self.phones):
            options = ("nodad",) if six else ()
            subprocess.run(
                ("ip", "addr", "add", f"{host}/{width}", "dev", self.far, *options),
                check=False,
                capture_output=True,
            )
            phone = Phone(host, family=socket.AF_INET6 if six else socket.AF_INET)
        self._stack.callback(phone.close)
        return phone

    def programs(self) -> int:
        """How many programs see what comes in at the relay's device."""
        with self.inside(self.relay):
            query = struct.pack("=IIIIQI", socket.if_nametoindex(self.near), _TCX_INGRESS, 0, 0, 0, 0)
            query = ctypes.create_string_buffer(query, 128)
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.syscall(_SYS_BPF[os.uname().machine], _PROG_QUERY, query, len(query)) == 0
        return int(struct.unpack_from("=I", query, 24)[0])

    def checksums(self, name: str, device: str, *, offload: bool) -> None:
        """Whether the sender of a device leaves UDP checksums to the hardware that a veth pair does not have."""
        ask = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, offload))
        request = struct.pack("=16sQ16x", device.encode(), ctypes.addressof(ask))
        libc = ctypes.CDLL(None, use_errno=True)
        with self.inside(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            assert libc.ioctl(one.fileno(), _SIOCETHTOOL, request) == 0, os.strerror(ctypes.get_errno())


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


def enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.setns(descriptor, _NEWNET) == 0, os.strerror(ctypes.get_errno())


class Line:
    """One telephone's stream: sequence numbers and timestamps that go on, 20 ms of sound each."""

    def __init__(self, phone: Phone, to: list, *, ssrc: int = 7, sequence: int = 65_500) -> None:
        self.phone, self.to = phone, tuple(to)
        self.ssrc, self.sequence, self.stamp = ssrc, sequence, 1000
        self.sent: list[bytes] = []

    def packet(self, *, pt: int = 8, first: int = 0x80, mark: bytes = b"") -> bytes:
        self.sequence, self.stamp = (self.sequence + 1) % 65536, self.stamp + 160
        head = struct.pack("!BBHII", first, pt, self.sequence, self.stamp, self.ssrc)
        return head + (mark + struct.pack("!I", len(self.sent)) * 40)[:160]

    def say(self, packet: bytes = b"", pace: float = 0.001, **how: object) -> bytes:
        packet = packet or self.packet(**how)  # type: ignore[arg-type]
        self.sent.append(packet)
        self.phone.send(packet, self.to)
        time.sleep(pace)
        return packet


def settle(media: Media, lines: list[Line], *, inside: int = 0, most: int = 600) -> None:
    """Talk until the kernel forwards as many directions as there are lines; what was said is heard and forgotten."""
    for _ in range(most):
        for line in lines:
            line.say()
        if len(lines[0].sent) % 10 == 0 and media.request("status")["in_kernel"] >= (inside or len(lines)):
            return
    raise AssertionError(f"not in the kernel: {media.request('status')['in_kernel']}\n{media.said()}")


def in_kernel(media: Media) -> int:
    return int(media.request("status")["in_kernel"])


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.02)
