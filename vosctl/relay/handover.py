"""A supervisor that becomes the next release's: the same process goes on, and so does the media below it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional

from vosctl.errors import RelayError

LOG = logging.getLogger(__name__)

_MEDIA = Path(__file__).resolve().parent / "media"
_SUFFIXES = frozenset({".py", ".so", ".c", ".h"})
_TRY_SECONDS = 10.0
# Default actions would end the process between its new program and that program's handlers.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Handover(NamedTuple):
    """What one program leaves to the next: the lock's descriptor, and the media process with its files' digest."""

    lock: int
    media: int
    digest: str

    def text(self) -> str:
        """Return it as one argument of a command line."""
        return json.dumps(self._asdict())


def parse(text: Optional[str]) -> Optional[Handover]:
    """Return what ``Handover.text`` wrote. Raises ``RelayError``."""
    if text is None:
        return None
    try:
        tree = json.loads(text)
        return Handover(int(tree["lock"]), int(tree["media"]), str(tree["digest"]))
    except (KeyError, TypeError, ValueError):
        raise RelayError("--resume is for the relay itself") from None


class Adopted:
    """A child that an earlier program of this same process started; as much of ``Popen`` as is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: Optional[int] = None

    def poll(self) -> Optional[int]:
        """Return the exit code, negative for a signal, ``None`` while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 1
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: Optional[float] = None) -> int:
        """Return the exit code when it has ended. Raises ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("adopted", timeout or 0.0)
            time.sleep(0.01)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def media_digest() -> str:
    """Return SHA-256 in hex of every file that the media process consists of."""
    digest = hashlib.sha256()
    for path in sorted(_MEDIA.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file() and not path.name.startswith("."):
            digest.update(f"{path.relative_to(_MEDIA)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def command() -> List[str]:
    """Return the command line that this program was started with, without an earlier handover."""
    words = list(sys.argv)
    if "--resume" in words:
        at = words.index("--resume")
        del words[at : at + 2]
    return [sys.executable, "-I", "-S", os.path.abspath(words[0]), *words[1:]]  # noqa: PTH100  links must stay


def runs(words: List[str]) -> bool:
    """Return whether the program at the place of this one starts at all; what it says goes to the log."""
    try:
        done = subprocess.run(
            [*words[:4], "--help"], check=False, capture_output=True, text=True, timeout=_TRY_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        LOG.error("the next release does not start: %s", error)  # noqa: TRY400  expected
        return False
    if done.returncode:
        LOG.error("the next release does not start: %s", done.stderr.strip()[-500:])
    return not done.returncode


def become(words: List[str], given: Handover) -> None:
    """Let the next program take this process over; return only when the system refuses."""
    os.set_inheritable(given.lock, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        os.execv(words[0], [*words, "--resume", given.text()])  # noqa: S606  no shell is the point
    except OSError as error:
        LOG.error("the next release does not start: %s", error)  # noqa: TRY400  expected
    os.set_inheritable(given.lock, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
