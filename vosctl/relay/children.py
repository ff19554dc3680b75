"""The supervisor's children: media and control, started, brought back when they die, and ended."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import List, Optional, Union

from vosctl.relay import handover, missing
from vosctl.relay.handover import Adopted, Handover
from vosctl.relay.paths import RelayPaths

LOG = logging.getLogger(__name__)

LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
STOP_SECONDS = 5.0
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0
STEADY_SECONDS = 30.0
# Bytes; the log lies in memory on most nodes (/run), with one older file of the same size beside it.
MOST_LOG = 16 << 20


class Child:
    """One of the two processes, and when it may be started again."""

    def __init__(self, name: str, command: List[str], log: Optional[Path]) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._process: Union[subprocess.Popen[bytes], Adopted, None] = None
        self._since = 0.0
        self._pause = BACKOFF_FIRST
        self.due = 0.0

    @property
    def pid(self) -> int:
        """The process' id, 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def adopt(self, pid: int) -> None:
        """Take over the process ``pid``, which runs already."""
        self._since = time.monotonic()
        self._process = Adopted(pid)

    @property
    def running(self) -> bool:
        """Whether the process has been started and not been seen dead."""
        return self._process is not None

    def start(self) -> None:
        """Start the process; what it writes to standard error goes to the log."""
        self._since = time.monotonic()
        try:
            with self._log.open("ab") if self._log else nullcontext() as output:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        except OSError as error:
            self._retry(f"cannot start: {error}")
        else:
            LOG.info("%s started, process %d", self.name, self._process.pid)

    def reap(self) -> None:
        """Notice a death and set the time of the next start: later each time, at once after a steady run."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return
        if time.monotonic() - self._since >= STEADY_SECONDS:
            self._pause = BACKOFF_FIRST
        self._process = None
        self._retry(
            f"ended with signal {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )

    def _retry(self, what: str) -> None:
        LOG.error("%s %s, again in %.1f s", self.name, what, self._pause)
        self.due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, BACKOFF_MOST)

    def signal(self, number: int) -> None:
        """Send a signal, if there is somebody to get it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End the process: politely, then not."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            LOG.warning("%s did not end within %g s, killed", self.name, STOP_SECONDS)
            self._process.kill()
            self._process.wait()
        self._process = None


class Supervisor:
    """Holds the children and the signals. ``run`` returns after SIGTERM or SIGINT."""

    def __init__(
        self, paths: RelayPaths, *, foreground: bool, lock: int, resumed: Optional[Handover] = None
    ) -> None:
        log = None if foreground else paths.log
        self._paths = paths
        self._log = log
        self.children = [Child(name, _command(name, paths, log), log) for name in ("media", "control")]
        lacks = missing.data_plane()
        if lacks:
            LOG.error("media is not started, no call is taken: %s", lacks)
            self.children[0].due = math.inf
        self._lock = lock
        # At an upgrade, running media is told from this by its files: they may be gone by then.
        self._digest = handover.media_digest()
        self._resumed = resumed
        self._stopping = self._upgrading = False
        self._wake, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Keep the children alive until told to stop, then end them, control first.

        SIGUSR1 is an upgrade: control ends, and this process becomes the program that now lies where it
        was started from. Media goes on when none of its files differ.
        """
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGUSR1, self._upgrade)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handover.SIGNALS)
        if self._resumed is not None:
            self._resume(self._resumed)
        while not self._stopping:
            if self._upgrading:
                self._hand_over()
            self._rotate()
            self._sleep(self._revive())
        for child in reversed(self.children):
            child.stop()
        LOG.info("stopped")

    def _rotate(self) -> None:
        """Move a log that has grown long to ``relay.log.1``; all three processes go on in a new one."""
        try:
            if self._log is None or self._log.stat().st_size < MOST_LOG:
                return
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))
            fresh = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            LOG.warning("the log is not rotated: %s", error)
            return
        for target in (1, 2):
            os.dup2(fresh, target)
        os.close(fresh)

    def _resume(self, given: Handover) -> None:
        media = self.children[0]
        if not given.media:
            return
        media.adopt(given.media)
        if given.digest == self._digest:
            LOG.info("upgraded: media, process %d, goes on", given.media)
        else:
            LOG.warning("upgraded: media has other files now and starts anew")
            media.stop()

    def _hand_over(self) -> None:
        self._upgrading = False
        words = handover.command()
        if not handover.runs(words):
            return
        media, control = self.children
        control.stop()
        handover.become(words, Handover(self._lock, media.pid if media.running else 0, self._digest))

    def _revive(self) -> float:
        """Start who is due; return the seconds until the next one is."""
        now = time.monotonic()
        for child in self.children:
            child.reap()
            if not child.running and child.due <= now:
                child.start()
        waiting = [child.due - now for child in self.children if not child.running]
        return max(0.01, min([60.0, *waiting]))

    def _sleep(self, seconds: float) -> None:
        ready, _, _ = select.select([self._wake], [], [], seconds)
        if ready:
            os.read(self._wake, 4096)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _upgrade(self, _number: int, _frame: object) -> None:
        self._upgrading = True

    def _reload(self, _number: int, _frame: object) -> None:
        self.children[1].signal(signal.SIGHUP)


def _nothing(_number: int, _frame: object) -> None:
    """Wake the loop, which the handler of SIGCHLD does by being there."""


def _command(name: str, paths: RelayPaths, log: Optional[Path]) -> List[str]:
    command = [sys.executable, "-I", "-S", str(LAUNCHER), name, "--run", str(paths.run)]
    command += ["--supervised", str(os.getpid()), "--config", str(paths.config)]
    if name == "control":
        command += ["--keys", str(paths.keys)]
    return command if log is None else [*command, "--log", str(log)]
