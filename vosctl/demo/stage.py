"""What a demo stands on while it runs: a copy of the example site, its nodes, and vosctl aimed at them."""

from __future__ import annotations

import fcntl
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vosctl import resources
from vosctl.demo.ground import Ground
from vosctl.errors import VosctlError

TERMINATING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Stage:
    """``vosctl`` is the command line up to the subcommand; ``options`` come after it; ``site`` is where it runs."""

    ground: Ground
    site: Path
    vosctl: tuple[str, ...]
    options: tuple[str, ...] = ()

    def run(self, *arguments: str) -> int:
        """Run vosctl with its output on this terminal and return its exit code."""
        # In a session of its own, Ctrl-C is the demo's alone: it ends vosctl, and then cleans up.
        return subprocess.run(
            self._argv(arguments), cwd=self.site, check=False, start_new_session=True
        ).returncode

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run vosctl and return what it said."""
        return subprocess.run(
            self._argv(arguments),
            cwd=self.site,
            check=False,
            capture_output=True,
            text=True,
            start_new_session=True,
        )

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return [*self.vosctl, *arguments, *self.options]


def program() -> str:
    """Return the path of the vosctl command of this installation."""
    beside = Path(sys.executable).with_name("vosctl")
    found = str(beside) if beside.exists() else shutil.which("vosctl")
    if found is None:
        raise VosctlError("the vosctl command is not installed", hint="pip install it, or: make setup")
    return found


def copy_site(target: Path) -> Path:
    """Copy the example site to ``target`` and return it."""
    for name in ("inventory", "playbooks"):
        shutil.copytree(resources.example() / name, target / name)
    return target


def change(path: Path, old: str, new: str) -> None:
    """Replace the one place in a file that reads ``old``; raises VosctlError where it is not exactly one."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise VosctlError(f"{path}: {old!r} stands there {text.count(old)} times, not once")
    path.write_text(text.replace(old, new), encoding="utf-8")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold ``directory`` for one demo; raises VosctlError while another one runs there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VosctlError(f"another demo runs in {directory}", hint="wait for it, or end it") from None
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that it cleans up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in TERMINATING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put signals off while something must not be left half done, as cleaning up."""
    numbers = {signal.SIGINT, *TERMINATING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
