"""One worker at a time on a node: a flock that dies with its holder and says who that is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from vosctl.push.agent import clock, process
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from vosctl.push.agent.node import Node

SIZE = 1024


class Lock:
    """Held inside a ``with`` block; entering raises AgentError (``locked``) when somebody else has it.

    Programs started meanwhile inherit it: when the holder is killed, nobody takes over before what
    it had started has ended.
    """

    def __init__(self, node: Node, holder: str, what: str, *, patience: float = 1.0) -> None:
        self._node = node
        self._holder = holder
        self._what = what
        self._patience = patience
        self._descriptor = -1

    def __enter__(self) -> Lock:  # noqa: PYI034  Self came with Python 3.11
        path = self._node.state("lock")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take()
            self._sign()
        except BaseException:
            os.close(self._descriptor)
            raise
        os.set_inheritable(self._descriptor, True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(b"null")
        os.close(self._descriptor)

    def _take(self) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise self._busy() from None
                time.sleep(0.02)
            else:
                return

    def _busy(self) -> AgentError:
        found = holder(self._node)
        if found is None:
            return AgentError(
                "locked", "a killed apply's last command still runs", hint="try again in a moment"
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["since"]))
        message = f"{found['holder']} is at work since {since}: {found['what']}"
        return AgentError("locked", message, hint="wait until that is done")

    def _sign(self) -> None:
        pid = os.getpid()
        words = {
            "holder": self._holder,
            "since": clock.now(),
            "what": self._what,
            "pid": pid,
            "start": process.started(pid),
        }
        self._write(json.dumps(words).encode())

    def _write(self, words: bytes) -> None:
        # Always as long, so that the file has its room on a full disk. A name that cannot be written keeps
        # nobody from going back, and one that stays behind is that of a dead process.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, words.ljust(SIZE), 0)
            os.ftruncate(self._descriptor, max(SIZE, len(words)))


def holder(node: Node) -> dict[str, Any] | None:
    """Return who holds the lock, since when (epoch) and for what; None when nobody alive does."""
    try:
        with open(node.state("lock"), "rb") as stream:
            found = json.loads(stream.read() or b"null")
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not process.alive(found.get("pid", 0), found.get("start")):
        return None
    return {key: found.get(key) for key in ("holder", "since", "what")}
