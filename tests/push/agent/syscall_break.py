"""Breaks a program at one of its system calls, to the call: a debugger (ptrace(2)) that knows two commands.

    python3 -c THIS POINT ACT LOG PROGRAM ARGUMENT...

Runs the program and counts the calls that change something outside of it: its own, and those of the programs
that load rules and sets for it. Before call POINT is made,

- ``kill``: the program gets SIGKILL, what it had started goes on;
- ``hold``: it and all that it started stand still. LOG then ends with a line ``held``; they go on when there
  is a file LOG.go. Where that never comes, whoever kills the whole host meanwhile has cut its power.

With POINT 0 nothing breaks. LOG gets a line a call. It runs on nodes by itself, so it imports nothing of the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

SEIZE, INTERRUPT, SYSCALL, LISTEN, CALL_INFO = 0x4206, 0x4207, 24, 0x4208, 0x420E
OPTIONS = 1 | 2 | 4 | 8 | 16  # mark calls' stops; follow fork, vfork, clone; tell of exec
EVENT_EXEC, EVENT_STOP = 4, 128
ENTRY = 1
CLONE_VM = 0x100
LOADERS = ("restore", "destroy")

CALLS = {
    "x86_64": {
        1: "write", 18: "pwrite64", 44: "sendto", 46: "sendmsg", 54: "setsockopt", 56: "clone", 57: "fork", 62: "kill",
        73: "flock", 74: "fsync", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink",
        88: "symlink", 90: "chmod", 91: "fchmod", 92: "chown", 93: "fchown", 231: "exit_group", 257: "openat",
        263: "unlinkat", 264: "renameat", 285: "fallocate", 316: "renameat2", 424: "pidfd_send_signal",
    },
    "aarch64": {
        32: "flock", 34: "mkdirat", 35: "unlinkat", 36: "symlinkat", 37: "linkat", 38: "renameat", 46: "ftruncate",
        47: "fallocate", 52: "fchmod", 53: "fchmodat", 54: "fchownat", 55: "fchown", 56: "openat", 64: "write",
        68: "pwrite64", 82: "fsync", 94: "exit_group", 129: "kill", 206: "sendto", 208: "setsockopt", 211: "sendmsg",
        220: "clone", 276: "renameat2", 424: "pidfd_send_signal",
    },
}[os.uname().machine]  # fmt: skip


class CallInfo(ctypes.Structure):
    """struct ptrace_syscall_info, as far as a call's entry goes."""

    _fields_ = (
        ("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64), ("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6),
    )  # fmt: skip


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> bool:
    """Whether it worked: a process that just died is no error."""
    return LIBC.ptrace(request, pid, address, data) >= 0


class Break:
    def __init__(self, point: int, act: str, log: str, argv: list[str]) -> None:
        self.point, self.act, self.log = point, act, log
        self.stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.count = 0
        self.info = CallInfo()
        self.main = self._start(argv)
        self.counted = {self.main}

    def _start(self, argv: list[str]) -> int:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(reader, 1)
            os.execvp(argv[0], argv)
        if not ptrace(SEIZE, pid, 0, OPTIONS):
            sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
        ptrace(INTERRUPT, pid)
        os.waitpid(pid, 0)
        ptrace(SYSCALL, pid)
        os.write(writer, b"x")
        os.close(reader)
        os.close(writer)
        return pid

    def run(self) -> int:
        """Return the program's exit status. What still runs then goes on without being watched."""
        while True:
            pid, status = os.waitpid(-1, 0x40000000)
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
            else:
                self.counted.discard(pid)
                if pid == self.main:
                    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if event == EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            ptrace(LISTEN, pid)
            return
        if event == EVENT_EXEC and pid != self.main:
            self._judge(pid)
        called = number == signal.SIGTRAP | 0x80
        if called and pid in self.counted:
            self._called(pid)
        ptrace(SYSCALL, pid, 0, 0 if called or event else number)

    def _judge(self, pid: int) -> None:
        line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        self.counted.discard(pid)
        if any(word in line for word in LOADERS):
            self.counted.add(pid)

    def _called(self, pid: int) -> None:
        ptrace(CALL_INFO, pid, ctypes.sizeof(self.info), ctypes.addressof(self.info))
        name = CALLS.get(self.info.nr, "")
        if self.info.op != ENTRY or not name or not self._changes(pid, name):
            return
        self.count += 1
        who = "" if pid == self.main else "child "
        os.write(self.stream, f"{who}{name}\n".encode())
        if self.count == self.point:
            self._break()

    def _changes(self, pid: int, name: str) -> bool:
        first, third = self.info.args[0], self.info.args[2]
        if name in ("write", "sendto", "sendmsg", "setsockopt"):
            talk = name == "write" and first in (1, 2)
            return not talk and (pid == self.main) == (name == "write")
        if name == "openat":
            return bool(third & os.O_CREAT)
        return pid == self.main and (name != "clone" or not first & CLONE_VM)

    def _break(self) -> None:
        if self.act == "kill":
            os.kill(self.main, signal.SIGKILL)
            return
        os.write(self.stream, b"held\n")
        while not Path(f"{self.log}.go").exists():
            time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(Break(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]).run())
