"""The relays that are measured: this project's own, and Debian's rtpengine-daemon in userspace as the peer."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.relay_bed import NG, RELAY_ADDRESS, RELAY_CORE, Bed, Generator, family, until
from vosctl.errors import RelayError
from vosctl.relay.children import LAUNCHER
from vosctl.relay.ng import NgClient, NgError
from vosctl.relay.paths import RelayPaths

PORTS = (20000, 60000)
PEER = "rtpengine"
_KEY_BYTES = 30  # master key and salt (RFC 4568 §6.2)
KEYS = {"xor": "Zr8vQm2LxK7pW4tN", "rc4": "Zr8vQm2LxK7pW4tN", "aes128": "Zr8vQm2LxK7pW4tN"}
_PORT = re.compile(r"^m=\S+ (\d+)", re.MULTILINE)
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]{40})")


class Subject:
    """A running relay: its NG socket and the processes whose time and memory count."""

    def __init__(self, bed: Bed, pid: int) -> None:
        self.pid = pid
        with bed.inside():
            self.ng = NgClient(NG, timeout=2.0)

    @property
    def pids(self) -> list[int]:
        """The relay's processes."""
        return family(self.pid)


@contextmanager
def vosctl(
    bed: Bed, mode: str = "none", *, low_latency: bool = False, kernel_path: bool = False
) -> Iterator[Subject]:
    """Start this project's relay, with a gateway at 10.78/16 and a trunk of ``mode`` at 10.79/16."""
    root = bed.folder / "node"
    paths = RelayPaths().below(root)
    paths.config.parent.mkdir(parents=True, exist_ok=True)
    trunk = {"peer": "other", "addresses": ["10.79.0.1"], "mode": mode}
    if mode in KEYS:
        trunk |= {"key": "k1", "accept": ["k1"]}
    config = {
        "version": 1, "node": "bench", "addresses": [RELAY_ADDRESS], "ng": list(NG), "ports": list(PORTS),
        "dscp": 46, "rtp_timeout": 600, "low_latency": low_latency, "kernel_path": kernel_path,
        "gateways": {"acme": {"type": "mapping", "networks": ["10.78.0.0/16"], "learn": "sdp"}},
        "trunks": {"ab": {"key": "", "accept": [""], **trunk}},
    }  # fmt: skip
    paths.config.write_text(json.dumps(config), encoding="utf-8")
    keys = {"version": 1, "keys": {"k1": KEYS[mode]} if mode in KEYS else {}}
    paths.keys.write_text(json.dumps(keys), encoding="utf-8")
    paths.keys.chmod(0o600)
    command = [_node_python(), "-I", "-S", str(LAUNCHER)]
    bed.start(bed.relay, RELAY_CORE, [*command, "supervise", "--root", str(root)]).wait()
    try:
        pid = int(paths.pidfile.read_text(encoding="ascii").split()[0])
        yield _answering(Subject(bed, pid))
    finally:
        subprocess.run([*command, "stop", "--root", str(root)], check=False, capture_output=True)


def _node_python() -> str:
    """Return the Python that a node runs the relay with: the system's, as the peer is the system's too."""
    return shutil.which("python3", path=os.defpath) or sys.executable


@contextmanager
def rtpengine(bed: Bed, _mode: str = "none") -> Iterator[Subject]:
    """Start Debian's rtpengine-daemon without its kernel module."""
    command = [
        "rtpengine", "--config-file=none", "--foreground", "--table=-1", f"--interface={RELAY_ADDRESS}",
        f"--listen-ng={NG[0]}:{NG[1]}", f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}",
        "--log-stderr", "--log-level=2", "--timeout=600", "--silent-timeout=600", "--delete-delay=0",
    ]  # fmt: skip
    process = bed.start(bed.relay, RELAY_CORE, command, stderr=subprocess.DEVNULL)
    try:
        yield _answering(Subject(bed, process.pid))
    finally:
        process.terminate()
        process.wait()


def version() -> str:
    """Return the peer's name and version."""
    done = subprocess.run(("rtpengine", "--version"), check=False, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return f"{PEER} {found.group()}" if found else PEER


def _answering(subject: Subject) -> Subject:
    def alive() -> bool:
        try:
            subject.ng.ping()
        except (NgError, OSError):
            return False
        return True

    until(alive, 10, "the relay answers")
    return subject


def endpoints(number: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return where the two telephones of call ``number`` are."""
    port = 10000 + number % 10000 * 2
    return ("10.78.0.1", port), ("10.79.0.1", port)


def sdp(at: tuple[str, int], crypto: str = "") -> str:
    """Return the description that a telephone at ``at`` sends; ``crypto`` makes it an SRTP telephone's."""
    host, port = at
    protocol = "RTP/SAVP" if crypto else "RTP/AVP"
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} {protocol} 0 8 101",
        "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
        "a=ptime:20", "a=sendrecv",
    ]  # fmt: skip
    if crypto:
        lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{crypto}")
    return "\r\n".join([*lines, ""])


def set_up(subject: Subject, generator: Generator | None, calls: int, mode: str = "none") -> None:
    """Make ``calls`` calls and tell the generator of both directions of each; ``mode`` is the callee's encryption."""
    srtp = mode == "srtp"
    keys: dict[str, Any] = {"vos_from": "acme", "vos_to": "ab"}
    if srtp:
        keys = {"transport_protocol": "RTP/SAVP", "flags": ["SDES-only-AES_CM_128_HMAC_SHA1_80"]}
    for number in range(calls):
        caller, callee = endpoints(number)
        key = os.urandom(_KEY_BYTES) if srtp else b""
        call, tags = f"bench-{number}", (f"f{number}", f"t{number}")
        source = ["IP4", caller[0]]
        offered = subject.ng.offer(call, tags[0], sdp(caller), received_from=source, **keys)
        if srtp and not _INLINE.search(offered):
            raise RelayError("the relay offered no a=crypto")
        described = sdp(callee, base64.b64encode(key).decode())
        answered = subject.ng.answer(call, *tags, described, received_from=["IP4", callee[0]])
        if generator:
            generator.flow(caller, (RELAY_ADDRESS, target_port(answered)), callee)
            generator.flow(
                callee,
                (RELAY_ADDRESS, target_port(offered)),
                caller,
                f"{mode}:{KEYS[mode]}" if mode in KEYS else key.hex(),
            )


def tear_down(subject: Subject, calls: int) -> None:
    """End what ``set_up`` made."""
    for number in range(calls):
        subject.ng.delete(f"bench-{number}", f"f{number}")


def target_port(text: str) -> int:
    """Return the port of the first ``m=`` line. Raises ``RelayError``."""
    found = _PORT.search(text)
    if not found:
        raise RelayError(f"no m= line in {text!r}")
    return int(found.group(1))
