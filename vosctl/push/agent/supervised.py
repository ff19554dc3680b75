"""A service that is a command and a pidfile, for nodes where no systemd runs."""

from __future__ import annotations

import os
import signal
import time

from vosctl.push.agent import command, process
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

START_SECONDS = 30.0
STOP_SECONDS = 20.0
SETTLE = 0.3


class Supervised:
    """Starts a daemon by its command, and knows it by pidfile, command line and start time."""

    known = True

    def __init__(self, node: Node, item: dict[str, Any]) -> None:
        self.name: str = item["name"]
        self._node = node
        self._wanted_enabled = bool(item["enabled"])
        self._command = [node.path(item["supervise"][0]), *item["supervise"][1:]]
        if node.root:
            self._command += ["--root", node.root]
        self._pidfile = node.path(item["pidfile"])

    def identity(self) -> tuple[int, int] | None:
        """Return the daemon's pid and start time, None when it does not run."""
        try:
            with open(self._pidfile, encoding="ascii") as stream:
                pid = int(stream.read())
        except (OSError, ValueError):
            return None
        start = process.started(pid)
        if start is None or not self._is_ours(pid):
            return None
        return pid, start

    def _is_ours(self, pid: int) -> bool:
        # A recycled pid may be any program, even the same one of another node on this machine.
        arguments = process.command_line(pid)
        if not any(os.path.basename(self._command[0]) in argument for argument in arguments):
            return False
        if self._node.root:
            return self._node.root in arguments
        return process.same_namespaces(pid) and "--root" not in arguments

    def running(self) -> bool:
        """Return whether the daemon runs."""
        return self.identity() is not None

    def enabled(self) -> bool:
        """Return the wanted answer: nothing here starts services at boot but the next apply."""
        return self._wanted_enabled

    def enable(self, on: bool) -> None:  # noqa: FBT001
        """Take note of nothing, see ``enabled``."""

    def start(self) -> None:
        """Start the daemon; raises AgentError when it does not stay alive."""
        if not os.access(self._command[0], os.X_OK):
            raise self._error(f"{self._command[0]} is not there or cannot be run")
        result = command.run(self._command, seconds=START_SECONDS, detach=True)
        if result.code:
            raise self._error(f"does not start: {result.reason}")
        until = time.monotonic() + START_SECONDS
        while not self.running():
            if time.monotonic() > until:
                raise self._error(f"was started but {self._pidfile} names no process of it")
            time.sleep(0.02)
        time.sleep(SETTLE)
        if not self.running():
            raise self._error("ended right after its start")

    def stop(self) -> None:
        """End the daemon with SIGTERM and wait for it; raises AgentError when it goes on."""
        found = self.identity()
        if found and process.send(*found, signal.SIGTERM) and not process.wait_end(*found, STOP_SECONDS):
            raise self._error(f"did not end within {STOP_SECONDS:g} s of SIGTERM")

    def reload(self) -> None:
        """Send SIGHUP; raises AgentError when the daemon does not run."""
        found = self.identity()
        if not found or not process.send(*found, signal.SIGHUP):
            raise self._error("does not run, so it cannot reload")

    def _error(self, what: str) -> AgentError:
        hint = f"run on the node: {' '.join(self._command)}"
        return AgentError("io", f"service {self.name} {what}", hint=hint, item=self.name, step="services")
