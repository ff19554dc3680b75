"""The test bed of the relay's benches: two network namespaces, the load generator in one, a relay in the other."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RELAY_CORE, LOAD_CORE = 0, 1
RELAY_ADDRESS = "10.77.0.1"
NG = ("127.0.0.1", 2223)
PRIORITY = 10  # real-time, for relay and generator alike: what else the machine does shall not disturb
_SOURCES = Path(__file__).parent
_NOBODY = "02:00:00:00:00:99"
_CLONE_NEWNET = 0x40000000

Run = dict[str, float]


class Bed:
    """Two namespaces joined by a veth pair. Addresses in 10.78/15 are the generator's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tag = f"vosb{os.getpid()}"
        self.relay, self.load = f"{tag}r", f"{tag}l"
        self._device = f"v{os.getpid()}"

    def open(self) -> None:
        """Make the namespaces. Raises ``subprocess.CalledProcessError``."""
        inner, outer = f"{self._device}r", f"{self._device}l"
        for name in (self.relay, self.load):
            _ip("netns", "add", name)
        _ip("link", "add", inner, "netns", self.relay, "type", "veth", "peer", outer, "netns", self.load)
        for name, device, host in ((self.relay, inner, RELAY_ADDRESS), (self.load, outer, "10.77.0.2")):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{host}/16", "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        # Frames for a link address that is nobody's: the generator sees them, the kernel then drops them.
        _ip("-n", self.relay, "neigh", "replace", "10.77.0.2", "lladdr", _NOBODY, "dev", inner, "nud", "permanent")  # fmt: skip
        _ip("-n", self.relay, "route", "add", "10.78.0.0/15", "via", "10.77.0.2")

    @property
    def relay_device(self) -> str:
        """The relay's end of the wire."""
        return f"{self._device}r"

    def close(self) -> None:
        """Take both namespaces away."""
        for name in (self.relay, self.load):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)

    def start(self, namespace: str, core: int, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Return a process in ``namespace``, pinned to ``core``."""
        pinned = ["taskset", "-c", str(core), "chrt", "-f", str(PRIORITY), *command]
        return subprocess.Popen(["ip", "netns", "exec", namespace, *pinned], text=True, **options)

    def link_address(self) -> str:
        """Return the link address of the relay's interface as 12 hex digits."""
        done = subprocess.run(
            ("ip", "-j", "-n", self.relay, "link", "show", "dev", f"{self._device}r"),
            check=True,
            capture_output=True,
            text=True,
        )
        return str(json.loads(done.stdout)[0]["address"]).replace(":", "")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the relay's namespace: sockets made meanwhile stay there."""
        with Path("/proc/self/ns/net").open("rb") as here, Path("/run/netns", self.relay).open("rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    @contextmanager
    def generator(self) -> Iterator[Generator]:
        """Start the load generator."""
        program = self.folder / "rtpload"
        if not program.exists():
            build(program)
        command = [str(program), f"{self._device}l", self.link_address()]
        process = self.start(self.load, LOAD_CORE, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield Generator(process)
        finally:
            process.terminate()
            process.wait()


class Generator:
    """The load generator's commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The generator's process."""
        return self._process.pid

    def flow(
        self, source: tuple[str, int], relay: tuple[str, int], expected: tuple[str, int], key: str = ""
    ) -> None:
        """Add a flow; ``key`` is SRTP master key and salt in hex, or mode and key of a trunk: ``aes128:KEY``."""
        words = [str(word) for pair in (source, relay, expected) for word in pair]
        self._say(" ".join(["flow", *words, key]).strip())

    def run(self, rate: float, seconds: float, tick_us: int = 1000) -> Run:
        """Send ``rate`` packets a second over all flows and return what was counted; latencies in microseconds."""
        self._say(f"run {rate} {seconds} {tick_us}")
        output = self._process.stdout
        line = output.readline() if output else ""
        if not line:
            raise RuntimeError("the load generator ended")
        told: Run = json.loads(line)
        told["loss"] = 1 - told["received"] / told["sent"]
        if told["altered"]:
            raise RuntimeError(f"{told['altered']:g} of {told['received']:g} payloads were not decrypted")
        return told

    def _say(self, line: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def build(program: Path) -> None:
    """Compile the load generator. Raises ``subprocess.CalledProcessError``."""
    sources = [str(_SOURCES / name) for name in ("rtpload.c", "rtpseal.c", "rtpcrypt.c")]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]
    subprocess.run(["cc", *flags, "-o", str(program), *sources, "-lsrtp2", "-lcrypto"], check=True)


@contextmanager
def bed() -> Iterator[Bed]:
    """Make a test bed and take it away."""
    if os.geteuid():
        raise PermissionError("the relay's benches make network namespaces: run them as root")
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        made = Bed(Path(folder))
        try:
            made.open()
            yield made
        finally:
            made.close()


def cpu_seconds(pids: list[int]) -> float:
    """Return the run time of all tasks of the processes, softirq work on their behalf included."""
    spent = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return spent / 1e9


def family(pid: int) -> list[int]:
    """Return ``pid`` and its descendants."""
    parents: dict[int, int] = {}
    for found in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = found.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        parents[int(text.split()[0])] = int(text.rpartition(")")[2].split()[1])
    found_pids = [pid]
    for known in found_pids:
        found_pids.extend(child for child, parent in parents.items() if parent == known)
    return found_pids


def until(condition: Any, seconds: float, what: str) -> None:
    """Wait until ``condition()`` holds; raises ``RuntimeError``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
