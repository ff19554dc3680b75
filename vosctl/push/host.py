"""One node in the course of a run: its connections, its plan so far, its timings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from vosctl.errors import HostError, UnreachableError, VosctlError
from vosctl.plan.change import Plan
from vosctl.push.connect import Connector
from vosctl.push.event import Event, HostStep
from vosctl.push.launch import Root, prove
from vosctl.push.options import PushOptions
from vosctl.push.result import HostResult, Status
from vosctl.push.session import Session
from vosctl.push.transport import Transport
from vosctl.site.model import Node

Emit = Callable[[Event], None]


class Host:
    """What an operation works with. ``plan`` is put into every result from when it is set."""

    def __init__(self, node: Node, options: PushOptions, connector: Connector, emit: Emit) -> None:
        self.node = node
        self.name = node.name
        self.options = options
        self.plan: Plan | None = None
        self._connector = connector
        self.emit = emit
        self._transport: Transport | None = None
        self._second: Transport | None = None
        self._session: Session | None = None
        self._timings: dict[str, float] = {}
        self._abandoned = threading.Event()
        self._connected = False

    @property
    def root(self) -> str | None:
        """The directory that stands for the node, None where it is a whole machine."""
        root = self.node.connection.root
        return str(root) if root is not None else None

    def connect(self, glance: str = "") -> Session:
        """Return the agent over a connection; the one before is closed. ``glance``: see Session.

        The first may be one that an earlier run left. Whoever asks again has lost it: the others are new.
        """
        self.close()
        self.step("connect")
        with self.timed("connect"):
            self._check()
            self._transport = self._connector.open(self.node, new=self._connected, sleep=self.sleep)
            self._connected = True
            self._check()
            self._session = Session(
                self.name, self._transport, self._as_root(), keep_agent=self.root is None, glance=glance
            )
        return self._session

    def prove(self) -> None:
        """Show that the node takes a new login as the run needs it; the session that is open stays so.

        Raises UnreachableError or HostError, which says what became of the login.
        """
        self.step("prove")
        with self.timed("connect"):
            self._check()
            self._second = self._connector.open(self.node, new=True, sleep=self.sleep)
            try:
                self._check()
                prove(self.name, self._second, self._as_root())
            finally:
                self._second.close()
                self._second = None

    def _as_root(self) -> Root:
        options = self.options
        return Root(self.node.connection.become, options.become_password, options.timeout)

    def close(self) -> None:
        """Close the connection, if there is one."""
        session, transport = self._session, self._transport
        self._session = self._transport = None
        if session is not None:
            session.close()
        if transport is not None:
            transport.close()

    def abandon(self) -> None:
        """Cut the connection from another thread; whatever waits on it fails at once."""
        self._abandoned.set()
        for transport in (self._transport, self._second):
            if transport is not None:
                transport.close()

    def sleep(self, seconds: float) -> None:
        """Wait, unless the run is abandoned."""
        self._abandoned.wait(max(0.0, seconds))
        self._check()

    def step(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell the processors about a step."""
        self.emit(HostStep(self.name, step, done, of))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time of the block to the timings under ``name``."""
        start = monotonic()
        try:
            yield
        finally:
            self._timings[name] = self._timings.get(name, 0.0) + monotonic() - start

    def result(
        self, status: Status, *, error: VosctlError | None = None, report: Mapping[str, Any] | None = None
    ) -> HostResult:
        """Return a result with the plan and the timings so far."""
        return HostResult(self.name, status, self.plan, error, report or {}, dict(self._timings))

    def failure(self, message: str, *, hint: str = "") -> HostError:
        """Return a HostError that names this node."""
        return HostError(self.name, message, hint=hint)

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise UnreachableError(self.name, "interrupted")
