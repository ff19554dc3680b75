"""Runs programs with a time limit, their input and output in memory files so that nobody waits for a pipe."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LANG": "C", "LC_ALL": "C", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}


class Result:
    """A program's exit code (negative: the signal that ended it), output and error text."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def reason(self) -> str:
        """What it said last, in one line, for an error message."""
        said = (self.err.strip() or self.out.strip()).splitlines()
        return " ".join(line.strip() for line in said[-4:]) or f"exit code {self.code}"


def find(program: str) -> str | None:
    """Return the path of a program as root would find it, None when it is not installed."""
    for folder in PATH.split(":"):
        path = f"{folder}/{program}"
        if os.access(path, os.X_OK):
            return path
    return None


def run(
    arguments: Sequence[str], *, data: bytes = b"", seconds: float = 30.0, detach: bool = False
) -> Result:
    """Run a program to its end; raises AgentError when it is missing or takes too long.

    It inherits the lock, so that nobody takes over while it still works. ``detach`` is for programs
    that leave a daemon behind: the daemon does not get the lock, a process beside it holds the lock
    until the program ends.
    """
    path = arguments[0] if "/" in arguments[0] else find(arguments[0])
    if path is None:
        raise AgentError(
            "unsupported", f"{arguments[0]} is not installed", hint=f"install {arguments[0]} on the node"
        )
    files = [os.memfd_create(name) for name in ("in", "out", "err")]
    try:
        _fill(files[0], data)
        code = _wait(_spawn(path, arguments, files, detach=detach), arguments, seconds)
        return Result(code, _text(files[1]), _text(files[2]))
    finally:
        for descriptor in files:
            os.close(descriptor)


def memory_file(name: str, data: bytes) -> int:
    """Return a descriptor of an unnamed file that holds ``data``, read from its start by others."""
    descriptor = os.memfd_create(name)
    _fill(descriptor, data)
    return descriptor


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


def _spawn(path: str, arguments: Sequence[str], files: list[int], *, detach: bool) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(files)]
    try:
        if not detach:
            return os.posix_spawn(path, list(arguments), ENVIRONMENT, file_actions=actions, setsid=True)
        child = os.fork()
        if child == 0:
            _hold_and_run(path, arguments, files)
    except OSError as error:
        raise AgentError("io", f"{path} cannot be run: {error.strerror}") from error
    return child


def _hold_and_run(path: str, arguments: Sequence[str], files: list[int]) -> None:
    # This process has the inheritable lock; what it starts must not.
    code = 127
    try:
        os.setsid()
        inner = os.fork()
        if inner == 0:
            for target, descriptor in enumerate(files):
                os.dup2(descriptor, target)
            os.closerange(3, 1024)
            os.execve(path, list(arguments), ENVIRONMENT)  # noqa: S606  the point is to be without a shell
        code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    finally:
        os._exit(code if code >= 0 else 128 - code)


def _wait(pid: int, arguments: Sequence[str], seconds: float) -> int:
    if not _ends_within(pid, seconds):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AgentError(
            "io",
            f"{arguments[0]} did not finish within {seconds:g} s",
            hint="see what it waits for on the node",
        )
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _ends_within(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return _poll_end(pid, seconds)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _poll_end(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True


def _text(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace") if size else ""
