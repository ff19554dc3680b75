"""The process that takes an apply back when nobody confirms it: armed before the first change."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from vosctl.push.agent import clock, command, durable, process, revert
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.lock import Lock
from vosctl.push.agent.state import State, guard_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

ARCHIVE = "agent.pyz"
ARM_SECONDS = 10.0
POLL = 0.1
ATTEMPTS = 60


def arm(state: State, identity: str) -> None:
    """Start the guard of a pending apply and wait until it watches; raises AgentError when it does not.

    Where systemd runs it is a transient unit, so that no logout and no cgroup ends it; else a process
    of its own session.
    """
    if not (state.node.has_systemd and _start_unit(state.node, identity)):
        _start_session(state.node, identity)
    until = time.monotonic() + ARM_SECONDS
    while not guard_alive(state.node, identity):
        if time.monotonic() > until:
            raise AgentError("io", "the process that would take the apply back did not start", step="arm")
        time.sleep(0.002)


def _start_unit(node: Node, identity: str) -> bool:
    arguments = (
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit=vosctl-guard-{identity}",
        "-p",
        "Restart=on-failure",
    )
    program = (sys.executable, "-I", "-S", node.state(ARCHIVE), "guard", identity)
    return command.find("systemd-run") is not None and command.run((*arguments, *program)).code == 0


def _start_session(node: Node, identity: str) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.closerange(3, 4096)
            os.chdir("/")
            watch(node, identity)
    finally:
        os._exit(0)


def watch(node: Node, identity: str) -> None:
    """Be the guard: return when the apply is confirmed or taken back, take it back when it is time."""
    state = State(node)
    pid = os.getpid()
    durable.write_json(node.run("guard.json"), {"id": identity, "pid": pid, "start": process.started(pid)})
    attempts = 0
    while attempts < ATTEMPTS:
        pending = state.pending()
        if pending is None or pending["id"] != identity:
            return
        if _may_wait(pending):
            time.sleep(_pause(pending))
            continue
        if _take_back(state, pending):
            attempts += 1
            time.sleep(1)


def _may_wait(pending: dict[str, Any]) -> bool:
    if pending["state"] == "applied":
        return clock.since_boot() < float(pending["until"])
    if not process.alive(pending["pid"], pending["start"]):
        return False
    if clock.since_boot() >= pending["limit"]:
        process.send(pending["pid"], pending["start"], signal.SIGKILL)
    return True


def _pause(pending: dict[str, Any]) -> float:
    if pending["state"] != "applied":
        return POLL
    return max(0.0, min(float(pending["until"]) - clock.since_boot(), POLL * 2))


def _take_back(state: State, pending: dict[str, Any]) -> bool:
    """Return whether the apply could not be taken back though nobody else is at work."""
    try:
        with Lock(state.node, pending["holder"], "going back", patience=5):
            revert.settle(state)
    except AgentError as error:
        return error.kind != "locked"
    except OSError:
        return True
    return False


def store_archive(node: Node, archive: bytes) -> None:
    """Keep the agent on the node, for the guard and for the next boot; raises OSError."""
    path = node.state(ARCHIVE)
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        if stream.read() == archive:
            return
    durable.write(path, archive, mode=0o600)
