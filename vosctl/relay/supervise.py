"""The supervisor: runs media and control as its children, brings a dead one back, and ends both when told to."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import List, NoReturn, Optional

from vosctl.errors import RelayError
from vosctl.relay import admin, logs
from vosctl.relay.control import config as configuration
from vosctl.relay.paths import RelayPaths

LOG = logging.getLogger(__name__)

LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
READY_SECONDS = 15.0
STOP_SECONDS = 5.0
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 5.0
STEADY_SECONDS = 30.0


class Child:
    """One of the two processes, and when it may be started again."""

    def __init__(self, name: str, command: List[str], log: Optional[Path]) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._since = 0.0
        self._pause = BACKOFF_FIRST
        self.due = 0.0

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
        if self._process is None or self._process.poll() is None:
            return
        if time.monotonic() - self._since >= STEADY_SECONDS:
            self._pause = BACKOFF_FIRST
        code = self._process.returncode
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

    def __init__(self, paths: RelayPaths, *, foreground: bool) -> None:
        log = None if foreground else paths.log
        self._paths = paths
        self.children = [Child(name, _command(name, paths, log), log) for name in ("media", "control")]
        self._stopping = False
        self._wake, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Keep the children alive until told to stop, then end them, control first."""
        signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGCHLD, _nothing)
        while not self._stopping:
            self._sleep(self._revive())
        for child in reversed(self.children):
            child.stop()
        LOG.info("stopped")

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

    def _reload(self, _number: int, _frame: object) -> None:
        self.children[1].signal(signal.SIGHUP)


def _nothing(_number: int, _frame: object) -> None:
    """Wake the loop, which the handler of SIGCHLD does by being there."""


def _command(name: str, paths: RelayPaths, log: Optional[Path]) -> List[str]:
    command = [sys.executable, "-I", "-S", str(LAUNCHER), name, "--run", str(paths.run)]
    command += ["--supervised", str(os.getpid())]
    if name == "control":
        command += ["--config", str(paths.config), "--keys", str(paths.keys)]
    return command if log is None else [*command, "--log", str(log)]


def supervise(paths: RelayPaths, *, foreground: bool) -> int:
    """Run the relay; return an exit code.

    In the foreground it returns when the relay has stopped. Else it returns as soon as the relay, in
    a session of its own, answers. Raises ``RelayError`` when it runs already, cannot start, or does
    not answer within ``READY_SECONDS``.
    """
    configuration.load(paths.config, paths.keys)
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = _lock(paths.pidfile)
    if foreground:
        logs.configure("supervisor", None)
        _hold(paths, lock, foreground=True)
    elif os.fork():
        os.close(lock)
        _await(paths)
    else:
        _detach(paths, lock)
    return 0


def _lock(pidfile: Path) -> int:
    """Return the locked descriptor of the pid file; the lock lasts as long as the process."""
    # Whoever asks for the status holds the lock for a moment too.
    tries = 10
    while True:
        lock = os.open(pidfile, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _locks(lock):
            tries -= 1
            if tries:
                os.close(lock)
                time.sleep(0.02)
                continue
            pid = os.read(lock, 32).decode().strip()
            os.close(lock)
            raise RelayError(f"the relay runs already, process {pid}", hint="vosctl-relay stop")
        if pidfile.exists() and os.fstat(lock).st_ino == pidfile.stat().st_ino:
            return lock
        # Whoever held it was just taking the file away.
        os.close(lock)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _detach(paths: RelayPaths, lock: int) -> NoReturn:
    """Go on in a session without a terminal, as a child of nobody who waits."""
    code = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(paths.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        logs.configure("supervisor", paths.log)
        _hold(paths, lock, foreground=False)
        code = 0
    except Exception:
        LOG.exception("the supervisor failed")
    finally:
        os._exit(code)


def _hold(paths: RelayPaths, lock: int, *, foreground: bool) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        Supervisor(paths, foreground=foreground).run()
    finally:
        for path in (paths.control_socket, paths.media_socket, paths.pidfile):
            path.unlink(missing_ok=True)
        os.close(lock)


def _await(paths: RelayPaths) -> None:
    """Return when control and media answer. Raises ``RelayError`` when they do not, or their supervisor ends."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            if admin.ask(paths.control_socket, "status")["media"]["up"]:
                return
        except (RelayError, KeyError):
            continue
    raise RelayError(f"the relay does not answer after {READY_SECONDS:g} s", hint=f"see {paths.log}")


def running(paths: RelayPaths) -> Optional[int]:
    """Return the supervisor's process id, or ``None`` when the relay is not running."""
    try:
        descriptor = os.open(paths.pidfile, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _locks(descriptor):
            return None
        pid = os.read(descriptor, 32).decode().strip()
        return int(pid) if pid.isdecimal() else None
    finally:
        os.close(descriptor)


def stop(paths: RelayPaths) -> bool:
    """End the relay and wait until it is gone; return whether there was one. Raises ``RelayError``."""
    pid = running(paths)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    except PermissionError:
        raise RelayError(f"the relay, process {pid}, belongs to another user", hint="try as root") from None
    deadline = time.monotonic() + len(("media", "control")) * STOP_SECONDS + READY_SECONDS
    while time.monotonic() < deadline:
        if running(paths) != pid:
            return True
        time.sleep(0.02)
    raise RelayError(f"the relay, process {pid}, does not end", hint=f"see {paths.log}")
