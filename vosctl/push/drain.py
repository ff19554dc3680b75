"""Draining a node's relay: no new calls, until none of the running ones is left."""

from __future__ import annotations

from time import monotonic
from typing import Any

from msgspec import Struct

from vosctl.push.host import Host
from vosctl.push.operations import failure, request, without_op
from vosctl.push.result import HostResult, Status
from vosctl.push.session import Session

PAUSE = 1.0


class Drain(Struct, frozen=True):
    """Drains, or with ``undo`` takes it back. ``wait``: seconds to wait for the calls to end, None does not wait."""

    undo: bool = False
    wait: float | None = None

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` where it was not so before, else ``ok``; ``calls`` in ``report`` says how many are left.

        Raises HostError when calls are left after ``wait``; the relay goes on being drained.
        """
        session = host.connect()
        host.step("drain")
        with host.timed("drain"):
            answer = _ask(host, session, on=not self.undo)
            kept = bool(answer["was"] and answer["was"].get("since"))
            if self.wait is not None and not self.undo:
                answer = self._waited(host, session, answer)
        status = Status.OK if kept is not self.undo else Status.CHANGED
        return host.result(status, report=without_op(answer))

    def _waited(self, host: Host, session: Session, answer: dict[str, Any]) -> dict[str, Any]:
        until = monotonic() + (self.wait or 0)
        most = int(answer["calls"])
        while calls := int(answer["calls"]):
            most = max(most, calls)
            host.step("drain", most - calls, most)
            left = until - monotonic()
            if left <= 0:
                raise host.failure(
                    f"{calls} calls still run after {self.wait:g} s of draining",
                    hint="it stays drained; wait again with --wait, or take it back with --undo",
                )
            host.sleep(min(PAUSE, left))
            answer = _ask(host, session)
            if not answer["draining"]:
                raise host.failure(
                    "somebody else let it take new calls again", hint="ask who, then drain anew"
                )
        return answer


def _ask(host: Host, session: Session, *, on: bool | None = None) -> dict[str, Any]:
    answer = session.ask(request(host, "drain", on=on), expect="drain")
    if answer["op"] == "failed":
        raise failure(host, answer)
    return answer
