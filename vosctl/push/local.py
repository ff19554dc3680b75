"""Runs the agent as a process on this machine, for nodes with ``connection: local``."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress

from vosctl.errors import UnreachableError
from vosctl.push.streams import Streams
from vosctl.push.transport import own_login

END_PATIENCE = 5.0


class LocalTransport:
    """Starts commands as children in a session of their own, so that Ctrl-C reaches only the controller."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.login = own_login()[0]
        self._pipes: list[LocalPipe] = []

    def open(self, command: Sequence[str]) -> LocalPipe:
        """Start a command; raise UnreachableError where it cannot be run."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise UnreachableError(
                self._node, f"{command[0]} cannot be run here: {error.strerror}", hint=f"install {command[0]}"
            ) from error
        pipe = LocalPipe(process)
        self._pipes.append(pipe)
        return pipe

    def close(self) -> None:
        """Let go of what was started."""
        for pipe in self._pipes:
            pipe.close()


class LocalPipe(Streams):
    """The three streams of a child process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a process without pipes")
        super().__init__(process.stdin, process.stdout, process.stderr)
        self._process = process

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status; a signal's number is negative."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the child's input; a child that does not end then is killed."""
        if not self.shut():
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_PATIENCE)
            return
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(END_PATIENCE)
