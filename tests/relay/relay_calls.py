"""Relays, phones and calls on loopback addresses of this test process's own, for tests of the real relay."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vosctl.errors import RelayError
from vosctl.relay import admin
from vosctl.relay.children import LAUNCHER
from vosctl.relay.ng import NgClient
from vosctl.relay.paths import RelayPaths

_hosts = itertools.count()
_HOSTS = 252
_STRIDE = 20011


def address() -> str:
    """A loopback address that no other test process uses: 127/8 is all this machine, without root."""
    # A network of its own for every 252 addresses of every process, far from those of the next processes.
    network, host = divmod(next(_hosts), _HOSTS)
    number = (os.getpid() + _STRIDE * network) % (254 * 256)
    return f"127.{1 + number // 256}.{number % 256}.{2 + host}"


def until(condition: Callable[[], object], seconds: float = 10.0):
    """Wait until ``condition`` is true and return what it gave; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {condition}")


class Node:
    """A node in a directory, with a relay on an address of its own."""

    def __init__(self, root: Path, name: str, *, python: str = sys.executable) -> None:
        self.root = root
        self.name = name
        self.address = address()
        self.paths = RelayPaths().below(root)
        self.paths.config.parent.mkdir(parents=True)
        self.command = [python, "-I", "-S", str(LAUNCHER)]
        self.config = {
            "version": 1, "node": name, "addresses": [self.address], "ng": [self.address, 2223],
            "ports": [20000, 20399], "dscp": 46, "rtp_timeout": 30, "gateways": {}, "trunks": {},
        }  # fmt: skip
        self.keys: dict[str, str] = {}

    def gateway(self, name: str, *hosts: str, learn: str = "sdp") -> None:
        networks = [f"{host}/32" for host in hosts]
        self.config["gateways"][name] = {"type": "mapping", "networks": networks, "learn": learn}

    def trunk(
        self, name: str, peer: Node | str, mode: str, key: str = "", accept: tuple[str, ...] = ()
    ) -> None:
        host = peer if isinstance(peer, str) else peer.address
        self.config["trunks"][name] = {
            "peer": "peer", "addresses": [host], "mode": mode, "key": key, "accept": list(accept or (key,)),
        }  # fmt: skip

    def write(self) -> None:
        self.paths.config.write_text(json.dumps(self.config, sort_keys=True, indent=1) + "\n")
        keys = {"version": 1, "keys": self.keys}
        self.paths.keys.write_text(json.dumps(keys, sort_keys=True, indent=1) + "\n")
        self.paths.keys.chmod(0o600)

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words, "--root", str(self.root)],
            check=False,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self) -> None:
        self.write()
        done = self.run("supervise")
        assert done.returncode == 0, done.stderr + self.log()

    def stop(self) -> None:
        done = self.run("stop")
        assert done.returncode == 0, done.stderr

    def ask(self, command: str, **fields) -> dict:
        return admin.ask(self.paths.control_socket, command, **fields)

    def pairs(self) -> int:
        """How many pairs of media ports are open on the relay's address, as the kernel knows it."""
        mine = socket.inet_aton(self.address)[::-1].hex().upper()
        rows = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
        numbers = [int(row.partition(":")[2], 16) for row in rows if row.startswith(mine)]
        low, high = self.config["ports"]
        return len({number & ~1 for number in numbers if low <= number <= high})

    def kill(self, process: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to ``control`` or ``media``; return when another one answers."""
        pid = self._pid(process)
        os.kill(pid, number)
        until(lambda: self._pid(process) not in {0, pid})

    def _pid(self, process: str) -> int:
        try:
            status = self.ask("status")
        except RelayError:  # between two lives
            return 0
        return status["pid"] if process == "control" else status["media"]["pid"] or 0

    def client(self, **options) -> NgClient:
        return NgClient((self.address, self.config["ng"][1]), **options)

    def log(self) -> str:
        return self.paths.log.read_text() if self.paths.log.exists() else ""


class Phone:
    """An RTP socket and an RTCP socket with the description that a SIP phone would send."""

    def __init__(self, host: str | None = None, *, port: int = 0) -> None:
        self.address = host or address()
        self.rtp, self.rtcp = _pair(self.address, port)
        self.port = self.rtp.getsockname()[1]
        self.got: list[bytes] = []

    def sdp(
        self, *attributes: str, host: str | None = None, types: str = "8 0 101", kind: str = "audio"
    ) -> str:
        where = host or self.address
        lines = [
            "v=0", f"o=- 1 1 IN IP4 {where}", "s=-", f"c=IN IP4 {where}", "t=0 0",
            f"m={kind} {self.port} RTP/AVP {types}", "a=rtpmap:101 telephone-event/8000", "a=ptime:20", *attributes,
        ]  # fmt: skip
        return "\r\n".join([*lines, ""])

    def send(self, packet: bytes, sdp: str) -> None:
        self.rtp.sendto(packet, target(sdp))

    def drain(self, count: int, seconds: float = 5.0) -> list[bytes]:
        """Receive until ``count`` packets are in ``got``, or nothing comes for long."""
        self.rtp.settimeout(seconds)
        while len(self.got) < count:
            try:
                self.got.append(self.rtp.recv(2048))
            except TimeoutError:
                break
        return self.got

    def silent(self) -> bool:
        """Whether nothing waits to be received."""
        self.rtp.settimeout(0.2)
        try:
            self.got.append(self.rtp.recv(2048))
        except TimeoutError:
            return True
        return False

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def _pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    for number in [port] if port else range(30000, 40000, 2):
        pair = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        try:
            for offset, one in enumerate(pair):
                one.bind((host, number + offset))
        except OSError:
            for one in pair:
                one.close()
            continue
        return pair[0], pair[1]
    raise AssertionError(f"no free ports on {host}")


def target(sdp: str) -> tuple[str, int]:
    """The first stream's address and port in an SDP."""
    lines = sdp.split("\r\n")
    host = next(line.split()[2] for line in lines if line.startswith("c="))
    return host, int(next(line.split()[1] for line in lines if line.startswith("m=")))


def attribute(sdp: str, name: str) -> str | None:
    found = [line[len(name) + 3 :] for line in sdp.split("\r\n") if line.startswith(f"a={name}:")]
    return found[0] if found else None


def g711(count: int, *, seed: int, payload_type: int = 8) -> list[bytes]:
    """RTP packets of 20 ms with reproducible payloads."""
    noise = random.Random(seed)
    ssrc, sequence, stamp = noise.getrandbits(32), noise.getrandbits(16), noise.getrandbits(32)
    return [
        struct.pack("!BBHII", 0x80, payload_type, (sequence + n) % 2**16, (stamp + 160 * n) % 2**32, ssrc)
        + noise.randbytes(160)
        for n in range(count)
    ]


class Call:
    """A call from ``caller`` over relay a, the trunk and relay b to ``callee``, as two proxies would set it up."""

    def __init__(self, a: Node, b: Node, caller: Phone, callee: Phone, *, call_id: str = "call-1") -> None:
        self.a, self.b, self.caller, self.callee = a, b, caller, callee
        self.call_id = call_id
        self.at_a, self.at_b = a.client(), b.client()
        self.a_names = {"vos_from": "acme", "vos_to": "ab", "received_from": ["IP4", caller.address]}
        self.b_names = {"vos_from": "ab", "vos_to": "vendor", "received_from": ["IP4", a.address]}

    def offer(self) -> None:
        self.trunk_offer = self.at_a.offer(self.call_id, "from", self.caller.sdp(), **self.a_names)
        self.to_callee = self.at_b.offer(self.call_id, "from", self.trunk_offer, **self.b_names)

    def answer(self) -> None:
        callee, trunk = {**self.b_names}, {**self.a_names}
        callee["received_from"], trunk["received_from"] = (
            ["IP4", self.callee.address],
            ["IP4", self.b.address],
        )
        self.trunk_answer = self.at_b.answer(
            self.call_id, "from", "to", self.callee.sdp(types="8 101"), **callee
        )
        self.to_caller = self.at_a.answer(self.call_id, "from", "to", self.trunk_answer, **trunk)

    def place(self) -> Call:
        self.offer()
        self.answer()
        return self

    def delete(self) -> tuple[dict, dict]:
        return self.at_a.delete(self.call_id, "from"), self.at_b.delete(self.call_id, "from")

    def talk(
        self, count: int, *, pace: float = 0.001, during: Callable[[], None] = lambda: None, seed: int = 1
    ) -> None:
        """Both sides send ``count`` packets while ``during`` runs; every one must arrive as it was sent."""
        sent = g711(count, seed=seed), g711(count, seed=seed + 1)
        self.caller.got, self.callee.got = [], []
        threads = [
            threading.Thread(target=_speak, args=(self.caller, sent[0], self.to_caller, pace)),
            threading.Thread(target=_speak, args=(self.callee, sent[1], self.to_callee, pace)),
            threading.Thread(target=self.callee.drain, args=(count,)),
            threading.Thread(target=self.caller.drain, args=(count,)),
        ]
        for thread in threads:
            thread.start()
        during()
        for thread in threads:
            thread.join()
        assert self.callee.got == sent[0]
        assert self.caller.got == sent[1]

    def close(self) -> None:
        self.at_a.close()
        self.at_b.close()


def _speak(phone: Phone, packets: list[bytes], sdp: str, pace: float) -> None:
    for packet in packets:
        phone.send(packet, sdp)
        time.sleep(pace)
