"""Drives a real media process over its socket, and plays the telephones around it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
START = "import sys; sys.path.insert(0, {root!r}); from vosctl.relay.media.host import main; sys.exit(main(sys.argv[1:]))"
_hosts = itertools.count(1)


def loopback() -> str:
    """An address of 127/8 that no other test of this run uses."""
    number = next(_hosts)
    return f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 250}.{number % 250 + 1}"


class RefusedError(Exception):
    """The media process said ok: false."""


class Media:
    """A running media process and the control connection to it."""

    def __init__(
        self, run: Path, *, arguments: tuple[str, ...] = (), python: tuple[str, ...] = (), before: str = ""
    ) -> None:
        self.run = run
        self.address = loopback()
        command = [
            *(python or (sys.executable,)),
            "-c",
            before + START.format(root=str(ROOT)),
            "--run",
            str(run),
            *arguments,
        ]
        self.log = (run / "media.log").open("wb+")
        self.process = subprocess.Popen(command, stderr=self.log)
        self.events: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self.connect()

    def connect(self) -> None:
        """Open a control connection, the first or a newer one."""
        deadline = time.monotonic() + 20
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(self.run / "media.sock"))
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"no media process: {self.said()}") from None
                time.sleep(0.02)
        self._socket.settimeout(20)
        self._buffer = b""

    def disconnect(self) -> None:
        self._socket.close()

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def request(self, cmd: str, **fields: Any) -> dict[str, Any]:
        number = next(self._ids)
        self.send_raw(json.dumps({"id": number, "cmd": cmd, **fields}).encode() + b"\n")
        while True:
            message = self.message()
            if "event" in message:
                self.events.append(message)
            elif message["id"] == number:
                if not message["ok"]:
                    raise RefusedError(message["error"])
                return message

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def message(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError(f"media closed the connection: {self.said()}")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def wait_event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event of that kind and those fields; the others are kept."""
        while True:
            for event in self.events:
                if event["event"] == kind and all(event[key] == value for key, value in fields.items()):
                    self.events.remove(event)
                    return event
            self.events.append(self.message())

    def configure(self, **fields: Any) -> None:
        given = {"ports": [20000, 24999], "addresses": [self.address], "dscp": 46, "timeout": 30, **fields}
        self.request("configure", **given)

    def leg(self, phone: Phone | None = None, **fields: Any) -> dict[str, Any]:
        return {"address": self.address, "remote": phone and list(phone.name), **fields}

    def counters(self, call: str, stream: int = 0) -> dict[str, Any]:
        (found,) = self.request("stats", call=call)["calls"]
        return next(one for one in found["streams"] if one["stream"] == stream)

    def until(self, call: str, side: str, **wanted: int) -> dict[str, Any]:
        """Counters of a leg once each named one has reached its value (packets are relayed by threads)."""
        deadline = time.monotonic() + 15
        while True:
            leg = self.counters(call)[side]
            if all(leg[name] >= value for name, value in wanted.items()):
                return leg
            assert time.monotonic() < deadline, f"wanted {wanted}, got {leg}"
            time.sleep(0.01)

    def stop(self) -> int:
        self._socket.close()
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(20)
        self.log.close()
        return code


class Phone:
    """A telephone's pair of sockets: RTP, and RTCP on the next port."""

    def __init__(self, host: str = "", *, port: int = 0, family: int = socket.AF_INET) -> None:
        self.host = host or loopback()
        for _ in range(50):
            self.rtp = socket.socket(family, socket.SOCK_DGRAM)
            self.rtcp = socket.socket(family, socket.SOCK_DGRAM)
            self.rtp.bind((self.host, port))
            with contextlib.suppress(OSError):
                self.rtcp.bind((self.host, self.rtp.getsockname()[1] + 1))
                break
            self.close()
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for one in (self.rtp, self.rtcp):
            one.settimeout(5)

    @property
    def name(self) -> tuple[str, int]:
        return self.rtp.getsockname()[:2]

    def send(self, packet: bytes, to: Any) -> None:
        self.rtp.sendto(packet, tuple(to))

    def receive(self) -> bytes:
        return self.rtp.recv(65535)

    def waiting(self, quiet: float = 0.3) -> list[bytes]:
        """All packets until none comes for ``quiet`` seconds."""
        packets = []
        while select.select([self.rtp], [], [], quiet)[0]:
            packets.append(self.rtp.recv(65535))
        return packets

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()
