"""What can be done to one node: inspect, confirm, roll back, ask for drift, status, facts and calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from vosctl.compile.desired import Desired
from vosctl.errors import HostError, UnreachableError, VosctlError
from vosctl.plan.change import Plan
from vosctl.plan.make import make_plan, only_drift
from vosctl.plan.observed import Observed, parse
from vosctl.plan.printable import printable
from vosctl.push import wire
from vosctl.push.event import Confirmed
from vosctl.push.host import Host
from vosctl.push.iptc_reader import read_own_chains
from vosctl.push.result import HostResult, Status
from vosctl.push.session import Session


class Inspect(Struct, frozen=True):
    """Makes the plan and stops."""

    desired: Mapping[str, Desired]

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` for a plan with changes; a refused plan is a failure already here."""
        _session, observed = inspect(host, self.desired[host.name])
        plan = make(host, self.desired[host.name], observed)
        host.plan = plan
        refuse(host, plan)
        return host.result(Status.CHANGED if plan else Status.OK, report=busy(observed))


class Drift(Struct, frozen=True):
    """Makes the plan and keeps what moved on the node."""

    desired: Mapping[str, Desired]

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` where something moved, with what is known of when under ``moved`` in the report."""
        session, observed = inspect(host, self.desired[host.name])
        host.plan = only_drift(make(host, self.desired[host.name], observed))
        report = {**busy(observed), **_checked(host, session, host.plan)}
        return host.result(Status.CHANGED if host.plan else Status.OK, report=report)


class Look(Struct, frozen=True):
    """Asks for the status and, in the same exchange, what moved and what the site would change."""

    desired: Mapping[str, Desired]

    def __call__(self, host: Host) -> HostResult:
        """Return the status in ``report``: ``drift`` holds names, ``changes`` a count; None where not known."""
        session = host.connect()
        with host.timed("status"):
            report = _masked(without_op(status(host, session)))
        try:
            _, observed = inspect(host, self.desired[host.name], session)
            whole = make(host, self.desired[host.name], observed)
            report |= {
                "drift": [f"{change.kind.value} {change.name}" for change in whole.drift],
                "changes": len(whole.changes) - len(whole.drift),
                **_checked(host, session, only_drift(whole)),
            }
        except UnreachableError:
            raise
        except VosctlError as error:
            report |= {"drift": None, "changes": None, "drift_error": error.message}
        return host.result(Status.OK, report=report)


def _checked(host: Host, session: Session, plan: Plan) -> dict[str, Any]:
    """Tell the node what moved; return what it knows of since when."""
    names = [f"{change.kind.value} {change.name}" for change in plan.changes]
    answer = session.ask(request(host, "checked", moved=names), expect="checked")
    if answer["op"] == "failed":
        raise failure(host, answer)
    return {"moved": answer["moved"], "last": answer["applied"]}


class Confirm(Struct, frozen=True):
    """Confirms what waits for it."""

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` where something was pending, else ``ok``."""
        session = host.connect()
        pending = status(host, session).get("pending")
        if not pending:
            return host.result(Status.OK)
        confirm(host, session, str(pending["id"]))
        return host.result(Status.CHANGED, report={"id": pending["id"]})


class Rollback(Struct, frozen=True):
    """Puts the node back: what is pending, else what the last apply changed.

    ``drain``: calls that would be cut off are waited for.
    """

    drain: bool = False

    def __call__(self, host: Host) -> HostResult:
        """Return ``rolled_back``, without an error: it is what was asked for."""
        session = host.connect()
        host.step("rollback")
        with host.timed("rollback"):
            answer = session.ask(
                request(host, "rollback", id=None, drain=self.drain),
                expect="rolled-back",
                progress=host.step,
            )
        if answer["op"] == "failed":
            raise failure(host, answer)
        return host.result(Status.ROLLED_BACK, report=without_op(answer))


class Ask(Struct, frozen=True):
    """Asks for ``status``, ``facts``, ``calls``, ``counters``, ``bans`` or ``history``."""

    what: str

    def __call__(self, host: Host) -> HostResult:
        """Return the answer in ``report``."""
        return host.result(Status.OK, report=self._report(host, host.connect()))

    def _report(self, host: Host, session: Session) -> dict[str, Any]:
        with host.timed(self.what):
            answer = session.ask(request(host, self.what), expect=self.what)
        if answer["op"] == "failed":
            raise failure(host, answer)
        if self.what == "facts":
            return _facts(host, answer["facts"])
        return _masked(without_op(answer)) if self.what == "status" else without_op(answer)


class Follow(Ask, frozen=True):
    """Asks again and again over one connection, ``pause`` seconds apart, until the run is interrupted.

    ``heard`` gets each answer, from the thread of its node.
    """

    pause: float
    heard: Callable[[HostResult], None]

    def __call__(self, host: Host) -> HostResult:
        """Never return by itself; an error of the node ends it."""
        session = host.connect()
        while True:
            self.heard(host.result(Status.OK, report=self._report(host, session)))
            host.sleep(self.pause)


def _masked(report: dict[str, Any]) -> dict[str, Any]:
    """Return a status with file names in place of digests: guesses at a secret could be tested against one."""
    applied = report.get("applied") or {}
    return {**report, "applied": {**applied, "files": sorted(applied.get("files") or ())}}


def _facts(host: Host, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts, with the own chains where the node is this machine and python-iptables can see them."""
    report = dict(facts)
    legacy = (report.get("iptables") or {}).get("backend") == "legacy"
    if legacy and host.node.connection.kind == "local" and host.root is None:
        report["own_chains"] = own_chains()
    return report


def own_chains() -> dict[str, Any]:
    """Return this machine's own chains with counters, or why they cannot be read under ``error``."""
    try:
        return read_own_chains()
    except (OSError, ImportError) as error:
        return {"error": str(error)}


def inspect(host: Host, desired: Desired, session: Session | None = None) -> tuple[Session, Observed]:
    """Connect, without a ``session``, and return the agent and what it observed."""
    wanted = wire.wanted(desired, revision=host.options.revision)
    key = wire.glance(wanted)
    session = session or host.connect(glance=key)
    host.step("inspect")
    answer = session.seen
    if answer is None:
        frame = request(host, "inspect", wanted=wanted, max_content=wire.MAX_CONTENT, glance=key)
        with host.timed("inspect"):
            answer = session.ask(frame, expect="observed")
    if answer["op"] == "failed":
        raise failure(host, answer)
    try:
        return session, parse(answer["observed"], ssh=session.ssh, login=session.login)
    except (ValueError, KeyError) as error:
        raise host.failure(f"the agent's observation makes no sense: {error}") from error


def make(host: Host, desired: Desired, observed: Observed) -> Plan:
    """Return the plan."""
    with host.timed("plan"):
        return make_plan(desired, observed)


def refuse(host: Host, plan: Plan) -> None:
    """Raise HostError for a plan that cannot or must not be applied."""
    impossible = [f"{held.kind.value} {held.name}: {held.reason}" for held in plan.impossible]
    if impossible:
        raise host.failure(
            "; ".join(impossible), hint="nothing was changed; vosctl facts says what the node can do"
        )
    if plan.refusal and not host.options.allow_lockout:
        raise host.failure(f"refused: {plan.refusal}")


def moved(node: str) -> HostError:
    """Return the error for a node that is not any more what a stored plan was made from."""
    return HostError(
        node, "the node moved since the plan was made", hint="nothing was changed; make the plan anew"
    )


def confirm(host: Host, session: Session, identity: str, *, within: float | None = None) -> None:
    """Confirm one apply; raise HostError where the node says no (it went back already, say).

    ``within``: seconds to wait for the answer, the run's time limit if not given.
    """
    with host.timed("confirm"):
        answer = session.ask(request(host, "confirm", id=identity), expect="confirmed", within=within)
    if answer["op"] == "failed":
        raise failure(host, answer)
    host.emit(Confirmed(host.name, identity))


def status(host: Host, session: Session) -> dict[str, Any]:
    """Return the node's status."""
    answer = session.ask(request(host, "status"), expect="status")
    if answer["op"] == "failed":
        raise failure(host, answer)
    return answer


def request(host: Host, operation: str, **fields: Any) -> dict[str, Any]:
    """Return a request frame for this host."""
    return {"op": operation, "root": host.root, "holder": host.options.holder, **fields}


def failure(host: Host, answer: Mapping[str, Any]) -> VosctlError:
    """Return the error in a ``failed`` answer."""
    where = " ".join(str(answer[name]) for name in ("step", "item") if answer.get(name))
    message = f"{where}: {answer.get('error')}" if where else str(answer.get("error"))
    return host.failure(printable(message), hint=printable(str(answer.get("hint") or "")))


def busy(observed: Observed) -> dict[str, Any]:
    """Return who is at work on the node or waits there for a confirmation, and what it just took back."""
    words = {"lock": observed.lock, "pending": observed.pending, "recovered": observed.recovered}
    return {name: value for name, value in words.items() if value}


def without_op(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's own fields."""
    return {name: value for name, value in answer.items() if name != "op"}
