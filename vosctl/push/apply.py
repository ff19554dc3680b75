"""Applies a plan to one node: armed first, confirmed once a new connection works, gone back to otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from time import monotonic
from typing import Any
from uuid import uuid4

from msgspec import Struct

from vosctl.compile.desired import Desired
from vosctl.errors import HostError, LockedError, RolledBackError, UnreachableError, VosctlError
from vosctl.plan.observed import Observed
from vosctl.push import operations, wire
from vosctl.push.host import Host
from vosctl.push.result import HostResult, Status
from vosctl.push.session import LostError, Session

PAUSE = 1.0
# How long after its deadline a node may take to go back and be asked.
REVERT_PATIENCE = 60.0
# How long the agent that applied may take to confirm, before another is asked: rules may have cut it off silently.
_STILL_THERE = 5.0
# How long an agent may go on without a controller before its own guard ends it.
WORK_LIMIT = 1800.0


class Stage(Enum):
    """How far one apply has come on the node."""

    WORKING = "working"
    WAITING = "waiting for its confirmation"
    CONFIRMED = "confirmed"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


class Apply(Struct, frozen=True):
    """Inspect, plan, apply, confirm.

    ``accepts`` says of a node's name and the digest of its state whether a plan made earlier still holds.
    """

    desired: Mapping[str, Desired]
    accepts: Callable[[str, str], bool] | None = None

    def __call__(self, host: Host) -> HostResult:
        """Return ``ok`` where there was nothing to do, ``changed`` where it was done and confirmed."""
        desired = self.desired[host.name]
        session, observed = operations.inspect(host, desired)
        host.plan = operations.make(host, desired, observed)
        operations.refuse(host, host.plan)
        if self.accepts is not None and not self.accepts(host.name, observed.digest):
            raise operations.moved(host.name)
        if not host.plan and not (observed.pending and host.options.auto_confirm):
            return host.result(Status.OK, report=operations.busy(observed))
        _refuse_pending(host, observed)
        if observed.pending:
            return _keep_pending(host, session, str(observed.pending["id"]))
        attempt = _Attempt(host, uuid4().hex)
        answer = attempt.apply(session, desired, observed)
        # Packages alone are never taken back, so nothing waits.
        waits = answer.get("deadline") != 0
        if waits and host.options.auto_confirm:
            attempt.confirm(None if "resumed" in answer else session)
        confirmed = host.options.auto_confirm or not waits
        return host.result(Status.CHANGED, report={**answer, "confirmed": confirmed})


def _keep_pending(host: Host, session: Session, identity: str) -> HostResult:
    """Confirm our own apply of an interrupted run: it left what is wanted, and the node was reached anew."""
    operations.confirm(host, session, identity)
    return host.result(Status.CHANGED, report={"id": identity, "confirmed": True})


def _refuse_pending(host: Host, observed: Observed) -> None:
    """Raise LockedError where somebody else's apply waits, or one of ours that is not what is wanted now."""
    pending = observed.pending
    if pending and (host.plan or pending.get("holder") != host.options.holder):
        raise LockedError(
            host.name,
            f"an apply by {pending.get('holder')} still waits for its confirmation",
            hint="vosctl confirm keeps it, vosctl rollback takes it back",
        )


class _Attempt:
    """One apply under its own id, and what becomes of it."""

    def __init__(self, host: Host, identity: str) -> None:
        self._host = host
        self._id = identity
        # The node goes back a window after it has finished, which is not later than this plus a window.
        self._finished = monotonic()

    def apply(self, session: Session, desired: Desired, observed: Observed) -> dict[str, Any]:
        """Send what differs and return what the node did; raise how it ended where it failed."""
        host = self._host
        host.step("apply")
        frame = operations.request(
            host,
            "apply",
            id=self._id,
            revision=host.options.revision,
            window=host.options.confirm_window,
            wanted=wire.wanted(desired, revision=host.options.revision),
            items=wire.items(desired, observed),
            observed_digest=observed.digest,
            max_content=wire.MAX_CONTENT,
        )
        try:
            with host.timed("apply"):
                answer = session.ask(frame, expect="applied", progress=host.step)
        except LostError as error:
            return self._resume(error)
        self._finished = monotonic()
        if answer["op"] == "failed":
            raise self._failed(answer)
        return operations.without_op(answer)

    def _resume(self, error: LostError) -> dict[str, Any]:
        """Ask over a new connection how far the agent came that went on without us."""
        reason = self._said(error)
        stage = self._wait(lambda stage: stage is not Stage.WORKING, reason, WORK_LIMIT)
        self._finished = monotonic()
        if stage is Stage.WAITING:
            return {"id": self._id, "resumed": reason}
        raise self._told(stage, reason) from error

    def confirm(self, session: Session | None) -> None:
        """Confirm once a new connection works; raise RolledBackError once the node has gone back instead.

        The new connection shows that nobody is locked out. The word itself goes to the agent that is there
        already, in ``session``, where that can still be talked to; else to one more agent over the new connection.
        """
        host = self._host
        if session is not None and self._confirmed_by(session):
            return
        last = self._finished + host.options.confirm_window / 2
        while (error := self._try_to_confirm()) is not None:
            if monotonic() >= last or not isinstance(error, UnreachableError):
                reason = f"not confirmed: {self._said(error)}"
                raise self._told(self._wait_for_end(reason), reason) from error
            host.sleep(PAUSE)

    def _confirmed_by(self, session: Session) -> bool:
        patience = min(_STILL_THERE, self._host.options.confirm_window / 4)
        try:
            self._host.prove()
            operations.confirm(self._host, session, self._id, within=patience)
        except HostError:
            return False  # what is wrong, if anything is, shows over a new connection
        return True

    def _try_to_confirm(self) -> HostError | None:
        try:
            operations.confirm(self._host, self._host.connect(), self._id)
        except HostError as error:
            return error
        return None

    def _wait_for_end(self, reason: str) -> Stage:
        self._host.step("wait for the node to go back")
        left = self._finished + self._host.options.confirm_window - monotonic()
        return self._wait(
            lambda stage: stage not in (Stage.WORKING, Stage.WAITING),
            reason,
            max(left, 0.0) + REVERT_PATIENCE,
        )

    def _wait(self, done: Callable[[Stage], bool], reason: str, limit: float) -> Stage:
        """Return the first stage that is ``done``; raise UnreachableError where none comes in time."""
        host = self._host
        until = monotonic() + limit
        last: VosctlError = host.failure("it still is at work")
        with host.timed("wait"):
            while monotonic() < until:
                try:
                    stage = self._stage()
                except (UnreachableError, LockedError) as error:
                    last = error
                else:
                    if done(stage):
                        return stage
                host.sleep(PAUSE)
        raise UnreachableError(
            host.name,
            f"{reason}; and the node cannot be asked how that ended: {self._said(last)}",
            hint="unconfirmed, it goes back by itself; look with vosctl status",
        )

    def _stage(self) -> Stage:
        report = operations.status(self._host, self._host.connect())
        pending = report.get("pending") or {}
        lock = report.get("lock") or {}
        if pending.get("id") == self._id:
            return Stage.WAITING if pending.get("state") == "applied" else Stage.WORKING
        if self._id in str(lock.get("what")):
            return Stage.WORKING
        events = [entry.get("event") for entry in report.get("journal") or [] if entry.get("id") == self._id]
        ends = [Stage(event) for event in events if event in (Stage.CONFIRMED.value, Stage.REVERTED.value)]
        return ends[-1] if ends else Stage.UNKNOWN

    def _failed(self, answer: Mapping[str, Any]) -> VosctlError:
        told = operations.failure(self._host, answer)
        if not answer.get("rolled_back"):
            return told
        return RolledBackError(self._host.name, f"{self._said(told)}; the node was put back", hint=told.hint)

    def _said(self, error: VosctlError) -> str:
        return error.message.removeprefix(f"{self._host.name}: ")

    def _told(self, stage: Stage, reason: str) -> VosctlError:
        name = self._host.name
        if stage is Stage.REVERTED:
            return RolledBackError(
                name,
                f"{reason}; the node went back to what it ran before",
                hint="vosctl status shows its journal",
            )
        if stage is Stage.CONFIRMED:
            return HostError(
                name, f"{reason}; yet the node holds the apply as confirmed", hint="run vosctl plan"
            )
        return HostError(
            name,
            f"{reason}; nothing waits on the node",
            hint="vosctl status and vosctl plan show where it stands",
        )
