"""Health gates: what must hold on the nodes of a batch before the next one is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.desired import Desired, Hook, IpSet, Ruleset
from vosctl.errors import HostError
from vosctl.firewall.proof import failures, obstacles
from vosctl.plan.printable import printable
from vosctl.push import operations
from vosctl.push.event import GateChecked
from vosctl.push.host import Host
from vosctl.push.options import PushOptions
from vosctl.push.result import HostResult, Status
from vosctl.push.session import Session
from vosctl.site.inventory.process import run_bounded
from vosctl.site.rollout import Check, Gate, Where

RELAY_CONFIG = "/etc/vosctl/relay.json"
_MOST_OUTPUT = 1 << 20
_MOST_SAID = 300
_MARGIN = 30.0
_FEWEST = {"expected": 100, "offered": 10}  # of fewer packets or calls, a share says nothing


def patient(options: PushOptions, gates: Sequence[Gate]) -> PushOptions:
    """Return the options with time enough for the slowest gate."""
    slowest = max((gate.within for gate in gates), default=0.0)
    return replace(options, timeout=max(options.timeout, slowest + _MARGIN))


class CountCalls(Struct, frozen=True):
    """Counts a node's calls, before its batch is changed."""

    def __call__(self, host: Host) -> HostResult:
        """Return under ``calls`` in the report how many the relay carries, None where none answers."""
        answer = _ask(host, host.connect(), {"check": "calls"})
        return host.result(Status.OK, report={"calls": answer.get("calls")})


class Health(Struct, frozen=True):
    """Holds a node against the gates; ``calls`` are those it had before."""

    gates: tuple[Gate, ...]
    desired: Mapping[str, Desired]
    calls: Mapping[str, int | None]

    def __call__(self, host: Host) -> HostResult:
        """Return ``ok``; raise HostError with all gates that do not hold."""
        session = host.connect()
        host.step("health")
        with host.timed("health"):
            found = [f"{gate}: {why}" for gate in self.gates if (why := self._look(host, session, gate))]
        if found:
            raise HostError(
                host.name, f"health gate {'; '.join(found)}", hint="vosctl status and the node's log say more"
            )
        return host.result(Status.OK)

    def _look(self, host: Host, session: Session, gate: Gate) -> str:
        why = self._why(host, session, gate)
        host.emit(GateChecked(host.name, str(gate), ok=not why, why=why))
        return why

    def _why(self, host: Host, session: Session, gate: Gate) -> str:
        if gate.check is Check.COMMAND:
            return _command(host, session, gate)
        desired = self.desired[host.name]
        if gate.check is Check.RELAY:
            return _relay(host, session, gate, desired)
        if gate.check is Check.CALLS:
            return self._lost(host, session, gate)
        if gate.check is Check.ERRORS:
            return _errors(host, session, gate)
        return _traced(host, session, desired)

    def _lost(self, host: Host, session: Session, gate: Gate) -> str:
        before = self.calls.get(host.name)
        if not before:
            return ""
        now = _ask(host, session, {"check": "calls"}).get("calls")
        most = gate.lost.of(before) if gate.lost else 0
        if now is None:
            return f"the relay carried {before} before and does not answer now"
        return f"{before} before, {now} now: more than {most} are gone" if before - now > most else ""


def _ask(host: Host, session: Session, check: Mapping[str, Any]) -> dict[str, Any]:
    frame = operations.request(host, "health", checks=[dict(check)])
    answer = session.ask(frame, expect="health")
    if answer["op"] == "failed":
        raise operations.failure(host, answer)
    found: dict[str, Any] = answer["answers"][0]
    return found


def _reason(answer: Mapping[str, Any]) -> str:
    return "" if answer.get("ok") else printable(str(answer.get("why") or "no reason given"))


def _relay(host: Host, session: Session, gate: Gate, desired: Desired) -> str:
    config = next((file.digest for file in desired.files if file.path == RELAY_CONFIG), None)
    release = desired.release.digest if desired.release else None
    check = {"check": "relay", "within": gate.within, "config": config, "release": release}
    return _reason(_ask(host, session, check))


def _errors(host: Host, session: Session, gate: Gate) -> str:
    answer = _ask(host, session, {"check": "errors", "within": gate.within})
    if not answer.get("ok"):
        return _reason(answer)
    return "; ".join(too_many(answer["errors"], gate))


def too_many(counted: Mapping[str, int], gate: Gate) -> Iterator[str]:
    """Yield what went wrong too often in the gate's seconds; a share of a few packets or calls says nothing."""
    for part, whole, limit, words in (
        ("lost", "expected", gate.loss, "packets were lost"),
        ("refused", "offered", gate.refused, "new calls were refused"),
    ):
        found, of = counted.get(part, 0), counted.get(whole, 0)
        if of >= _FEWEST[whole] and found * 100 > limit * of:
            yield f"{found} of {of} {words} in {gate.within:g} s, {limit} per cent may be"
    if counted.get("mismatches"):
        yield f"{counted['mismatches']} streams look as if their key were wrong"


def _command(host: Host, session: Session, gate: Gate) -> str:
    names = {"VOSCTL_NODE": host.name, "VOSCTL_HOST": host.node.connection.host}
    if gate.where is Where.NODE:
        return _reason(
            _ask(host, session, {"check": "command", "within": gate.within, "run": gate.run, **names})
        )
    words = ("/bin/sh", "-c", gate.run) if isinstance(gate.run, str) else gate.run
    command = ("/usr/bin/env", *(f"{name}={value}" for name, value in names.items()), *words)
    try:
        code, output, complaint = run_bounded(command, seconds=gate.within, most=_MOST_OUTPUT)
    except TimeoutError:
        return f"it did not end within {gate.within:g} s"
    except OSError as error:
        return f"it cannot be run: {error.strerror}"
    said = (complaint or output).decode(errors="replace").strip()[-_MOST_SAID:]
    return f"exit code {code}: {printable(said)}" if code else ""


def _traced(host: Host, session: Session, desired: Desired) -> str:
    """Return what the loaded filter does otherwise than the node's tests and gateways ask, "" for nothing."""
    if not desired.rulesets:
        return ""
    answer = _ask(host, session, {"check": "loaded"})
    if not answer.get("ok"):
        return _reason(answer)
    loaded = replace(
        desired,
        rulesets=tuple(_ruleset(int(family), text) for family, text in sorted(answer["rules"].items())),
        sets=tuple(_sets(desired, answer["sets"])),
    )
    return "; ".join(_wrong(host, loaded))


def _wrong(host: Host, loaded: Desired) -> Iterator[str]:
    for failure in failures(host.node, loaded):
        found = failure.trace
        ending = failure.reason if found is None else found.verdict.value if found.verdict else found.unknown
        wanted = failure.probe.expect.value if failure.probe.expect else ""
        yield f"the test '{failure.probe.name}' wants {wanted}, what is loaded gives: {ending}"
    for obstacle in obstacles(host.node, loaded):
        if obstacle.sure:
            yield f"what is loaded drops the {obstacle.what}: {obstacle.rule}"


def _ruleset(family: int, text: str) -> Ruleset:
    """Return the kernel's own rules; their hooks stand as ``-I parent place -j chain`` in the text."""
    hooks, table = [], ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line[1:].strip()
        elif words and words[0] == "-I" and words[-2] == "-j":
            hooks.append(Hook(table, words[1], words[-1]))
    return Ruleset(family, text, tuple(hooks))


def _sets(desired: Desired, found: Mapping[str, Mapping[str, Any]]) -> Iterator[IpSet]:
    """Yield the kernel's sets; members of timed ones are the node's own and not known, as in the site."""
    for name, held in found.items():
        wanted = next((each for each in desired.sets if each.name == name), None)
        if wanted is not None:
            yield wanted if wanted.dynamic else replace(wanted, members=tuple(held["members"]))
