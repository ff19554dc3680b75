"""What a fleet remembers on disk, and how a later run finds and removes what a killed one left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vosctl.errors import VosctlError
from vosctl.fleet import kernel

REGISTRY = Path("/run/vosctl-fleet")
STATE = "fleet.json"
DISKS = "disks"
_MOST_FLEETS = 1000


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host to make: an IPv4 address in the fleet's network, sshd or not, and its iptables backend.

    ``iptables`` is ``nft``, ``legacy``, or empty for whatever the machine uses.
    """

    name: str
    address: str
    sshd: bool = True
    iptables: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has ``pid`` now; raises ProcessLookupError."""
        try:
            return cls(pid, _started(pid))
        except (FileNotFoundError, IndexError):
            raise ProcessLookupError(f"no process {pid}") from None

    @classmethod
    def recorded(cls, path: Path) -> Process:
        """Return the process of a file that ``record`` wrote; raises OSError or ValueError."""
        return cls(**json.loads(path.read_text(encoding="ascii")))

    def record(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="ascii")

    def alive(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        try:
            fields = _fields(self.pid)
            return fields[0] not in "ZX" and _started(self.pid) == self.started
        except (OSError, IndexError):
            return False

    def kill(self, *, seconds: float = 5) -> None:
        """Kill it and wait until it is gone; raises TimeoutError."""
        kill_all((self,), seconds=seconds)


def kill_all(processes: Iterable[Process], *, seconds: float = 5) -> None:
    """Kill all of them and wait until they are gone; raises TimeoutError naming those that are not."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.alive()]:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"killed, and still there after {seconds:g} s: process {_names(left)}")
        processes = left
        time.sleep(0.002)


def descendants(pid: int) -> list[Process]:
    """Return every live process below ``pid``, parents before their children."""
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            fields = _fields(int(entry.name))
            if fields[0] not in "ZX":
                children.setdefault(int(fields[1]), []).append(Process.of(int(entry.name)))
    found = list(children.get(pid, ()))
    for process in found:  # grows while it is walked
        found.extend(children.get(process.pid, ()))
    return found


def _names(processes: Iterable[Process]) -> str:
    return ", ".join(f"{process.pid} ({_command(process.pid)})" for process in processes)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return "gone now"
    return " ".join(words[:3]).strip() or "no command line left"


def _fields(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _started(pid: int) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{_fields(pid)[19]}"


def claim(directory: Path, *, keep: bool) -> str:
    """Reserve a name for a fleet (``vf0`` …) that no other fleet on this machine has, and return it.

    With ``keep`` the fleet outlives this process; without, any later fleet removes it once this
    process is gone.
    """
    REGISTRY.mkdir(mode=0o755, exist_ok=True)
    owner = None if keep else asdict(Process.of(os.getpid()))
    written = REGISTRY / f".{os.getpid()}-{threading.get_native_id()}"
    try:
        written.write_text(json.dumps({"directory": str(directory), "owner": owner}), encoding="utf-8")
        for number in range(_MOST_FLEETS):
            entry = REGISTRY / f"vf{number}"
            with suppress(FileExistsError):
                entry.hardlink_to(written)  # whole from the first moment, whatever interrupts this
                return entry.name
    finally:
        written.unlink(missing_ok=True)
    raise RuntimeError(f"{_MOST_FLEETS} fleets are up: look into {REGISTRY}")


def release(name: str) -> None:
    """Give a fleet's name back."""
    (REGISTRY / name).unlink(missing_ok=True)


def orphans() -> Iterator[tuple[str, Path]]:
    """Yield name and directory of each fleet whose owner died without removing it."""
    for entry in sorted(REGISTRY.glob("vf*")) if REGISTRY.is_dir() else ():
        try:
            data = json.loads(entry.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # being written, or just removed
            continue
        owner = data["owner"]
        if owner is not None and not Process(**owner).alive():
            yield entry.name, Path(data["directory"])


def named(directory: Path) -> str | None:
    """Return the name of the fleet in ``directory``, or None where there is none."""
    for entry in REGISTRY.glob("vf*") if REGISTRY.is_dir() else ():
        with suppress(OSError, ValueError):
            if json.loads(entry.read_text(encoding="utf-8"))["directory"] == str(directory):
                return entry.name
    return None


def save(directory: Path, data: dict[str, Any]) -> None:
    """Write a fleet's description, whole or not at all."""
    temporary = directory / f"{STATE}.new"
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(directory / STATE)


def load(directory: Path) -> dict[str, Any]:
    """Return a fleet's description; raises FileNotFoundError."""
    data: dict[str, Any] = json.loads((directory / STATE).read_text(encoding="utf-8"))
    return data


def dismantle(name: str, directory: Path) -> None:
    """Remove everything that makes up a fleet, in whatever half-made state it is.

    Raises VosctlError, after the rest is gone, where a host outlives its killing.
    """
    records = list((directory / "hosts").glob("*/process"))
    try:
        kill_all(_hosts(records))
    except TimeoutError as error:
        raise VosctlError(
            f"the fleet in {directory} is gone but for a host that was {error}",
            hint="it waits for a process in it that somebody outside started and has not waited for, or hangs in the kernel",
        ) from error
    finally:
        for record in records:
            record.unlink(missing_ok=True)
        _clear(name, directory)


def _hosts(records: Iterable[Path]) -> Iterator[Process]:
    for record in records:
        with suppress(OSError, ValueError):
            yield Process.recorded(record)


def _clear(name: str, directory: Path) -> None:
    for pid in _inhabitants(name):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if Path("/run/netns", name).exists():
        subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)
    with suppress(OSError):
        kernel.unmount(str(directory / DISKS))
    (directory / STATE).unlink(missing_ok=True)
    release(name)


def _inhabitants(name: str) -> list[int]:
    result = subprocess.run(("ip", "netns", "pids", name), check=False, capture_output=True, text=True)
    return [int(pid) for pid in result.stdout.split()]
