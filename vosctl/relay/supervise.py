"""Start and end the relay on this node: one supervisor, in the foreground or in a session of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from pathlib import Path
from typing import NoReturn, Optional, Tuple

from vosctl.errors import RelayError
from vosctl.relay import admin, logs
from vosctl.relay.children import STOP_SECONDS, Supervisor
from vosctl.relay.control import config as configuration
from vosctl.relay.handover import Handover
from vosctl.relay.paths import RelayPaths

LOG = logging.getLogger(__name__)

READY_SECONDS = 15.0
DEATHS_AT_START = 4


def supervise(paths: RelayPaths, *, foreground: bool, resumed: Optional[Handover] = None) -> int:
    """Run the relay; return an exit code.

    ``resumed``: what an older program left to this one, in this same process; see ``handover``.

    In the foreground it returns when the relay has stopped. Else it returns as soon as the relay, in
    a session of its own, answers. Raises ``RelayError`` when it runs already, cannot start, or does
    not answer within ``READY_SECONDS``.
    """
    if resumed is not None:
        # Nothing may stop it here: media would end with it. Control says what is wrong with the configuration.
        os.set_inheritable(resumed.lock, False)
        logs.configure("supervisor", None if foreground else paths.log)
        _hold(paths, resumed.lock, foreground=foreground, resumed=resumed)
        return 0
    configuration.load(paths.config, paths.keys)
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = _lock(paths.pidfile)
    if foreground:
        logs.configure("supervisor", None)
        _hold(paths, lock, foreground=True)
    else:
        seen = paths.log.stat().st_size if paths.log.exists() else 0
        if not os.fork():
            _detach(paths, lock)
        os.close(lock)
        _await(paths, seen)
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


def _hold(paths: RelayPaths, lock: int, *, foreground: bool, resumed: Optional[Handover] = None) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        Supervisor(paths, foreground=foreground, lock=lock, resumed=resumed).run()
    finally:
        for path in (paths.control_socket, paths.media_socket, paths.pidfile):
            path.unlink(missing_ok=True)
        os.close(lock)


def _await(paths: RelayPaths, seen: int) -> None:
    """Return when control and media answer; else end the relay again.

    Raises ``RelayError``, with what the log says since byte ``seen``.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            media = admin.ask(paths.control_socket, "status")["media"]
            if media["up"] or media.get("missing"):
                return
        except (RelayError, KeyError):
            deaths, _ = _complaints(paths.log, seen)
            if deaths >= DEATHS_AT_START:
                break
    _, why = _complaints(paths.log, seen)
    stop(paths)
    raise RelayError(f"the relay does not start: {why or 'no answer'}", hint=f"see {paths.log}")


def _complaints(log: Path, seen: int) -> Tuple[int, str]:
    """Return how often a child died since byte ``seen`` of the log, and the last error that one of them told."""
    try:
        lines = log.read_bytes()[seen:].decode(errors="replace").splitlines()
    except OSError:
        return 0, ""
    errors = [line for line in lines if " ERROR " in line]
    told = [line.partition(" ERROR ")[2] for line in errors if " supervisor[" not in line]
    return len(errors) - len(told), told[-1] if told else ""


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
    deadline = time.monotonic() + 2 * STOP_SECONDS + READY_SECONDS
    while time.monotonic() < deadline:
        if running(paths) != pid:
            return True
        time.sleep(0.02)
    raise RelayError(f"the relay, process {pid}, does not end", hint=f"see {paths.log}")
