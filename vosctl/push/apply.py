"""Applies a plan to one node: armed first, confirmed over a new connection, gone back to otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

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


@dataclass(frozen=True, slots=True)
class Apply:
    """Inspect, plan, apply, confirm."""

    desired: Mapping[str, Desired]

    def __call__(self, host: Host) -> HostResult:
        """Return ``ok`` where there was nothing to do, ``changed`` where it was done and confirmed."""
        desired = self.desired[host.name]
        session, observed = operations.inspect(host, desired)
        host.plan = operations.make(host, desired, observed)
        if not host.plan:
            return host.result(Status.OK, report=operations.busy(observed))
        operations.refuse(host, host.plan)
        _refuse_pending(host, observed)
        attempt = _Attempt(host, uuid4().hex)
        answer = attempt.apply(session, desired, observed)
        if host.options.auto_confirm:
            attempt.confirm()
        return host.result(Status.CHANGED, report={"confirmed": host.options.auto_confirm, **answer})


def _refuse_pending(host: Host, observed: Observed) -> None:
    pending = observed.pending
    if pending:
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
        # Until the node says "applied" it may have armed its timer at any moment up to now.
        self._armed = monotonic()

    def apply(self, session: Session, desired: Desired, observed: Observed) -> dict[str, Any]:
        """Send what differs and return what the node did; raise how it ended where it failed."""
        host = self._host
        host.step("apply")
        frame = operations.request(
            host,
            "apply",
            id=self._id,
            holder=host.options.holder,
            revision=host.options.revision,
            window=host.options.confirm_window,
            wanted=wire.wanted(desired, revision=host.options.revision),
            items=wire.items(desired, observed),
            observed_digest=observed.digest,
        )
        try:
            with host.timed("apply"):
                answer = session.ask(frame, expect="applied", progress=host.step)
        except LostError as error:
            self._armed = monotonic()
            raise self._went_back(self._said(error)) from error
        self._armed = monotonic()
        if answer["op"] == "failed":
            raise self._failed(answer)
        return operations.without_op(answer)

    def confirm(self) -> None:
        """Confirm over a new connection; raise RolledBackError once the node has gone back instead."""
        host = self._host
        last = self._armed + host.options.confirm_window / 2
        while (error := self._try_to_confirm()) is not None:
            if monotonic() >= last or not isinstance(error, UnreachableError):
                raise self._went_back(f"not confirmed: {self._said(error)}") from error
            host.sleep(PAUSE)

    def _try_to_confirm(self) -> HostError | None:
        try:
            operations.confirm(self._host, self._host.connect(), self._id)
        except HostError as error:
            return error
        return None

    def _failed(self, answer: Mapping[str, Any]) -> VosctlError:
        told = operations.failure(self._host, answer)
        if not answer.get("rolled_back"):
            return told
        return RolledBackError(
            self._host.name,
            f"{self._said(told)}; the node was put back",
            hint=told.hint,
        )

    def _went_back(self, reason: str) -> VosctlError:
        """Wait for the node's own timer, ask how it ended, and return the error that says so."""
        host = self._host
        deadline = self._armed + host.options.confirm_window
        last = host.failure("not asked")
        host.step("wait for the node to go back")
        with host.timed("revert"):
            while monotonic() < deadline + REVERT_PATIENCE:
                try:
                    outcome = self._outcome()
                except (UnreachableError, LockedError) as error:
                    last = error
                else:
                    if outcome is not None:
                        return self._told(outcome, reason)
                left = deadline - monotonic()
                host.sleep(min(max(left, PAUSE), host.options.confirm_window))
        return UnreachableError(
            host.name,
            f"{reason}; and the node cannot be asked whether it went back: {self._said(last)}",
            hint="its timer puts it back by itself; look with vosctl status",
        )

    def _outcome(self) -> str | None:
        """Return ``confirmed``, ``reverted`` or ``unknown``, None while it is still pending."""
        report = operations.status(self._host, self._host.connect())
        pending = report.get("pending")
        if pending and pending.get("id") == self._id:
            return None
        for entry in reversed(report.get("journal") or []):
            if entry.get("id") == self._id and entry.get("event") in ("confirmed", "reverted"):
                return str(entry["event"])
        return "unknown"

    def _said(self, error: VosctlError) -> str:
        return error.message.removeprefix(f"{self._host.name}: ")

    def _told(self, outcome: str, reason: str) -> VosctlError:
        name = self._host.name
        if outcome == "reverted":
            return RolledBackError(
                name,
                f"{reason}; the node went back to what it ran before",
                hint="vosctl status shows its journal",
            )
        if outcome == "confirmed":
            return HostError(
                name, f"{reason}; yet the node holds the apply as confirmed", hint="run vosctl plan"
            )
        return HostError(
            name, f"{reason}; nothing is pending on the node", hint="run vosctl plan to see its state"
        )
