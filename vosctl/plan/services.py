"""What services must do, given what else changes: start, stop, restart, reload, start at boot or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vosctl.compile.desired import Desired, Service
from vosctl.plan.change import Action, Change, Kind
from vosctl.plan.observed import Observed, ServiceState
from vosctl.plan.risk import Risk

RELAY = "vosctl-relay"
_RELEASE_LINK = "/opt/vosctl/current/"
_UNKNOWN = ServiceState("stopped", enabled=False, known=False)


def services(desired: Desired, observed: Observed, changes: Sequence[Change]) -> Iterator[Change]:
    """Yield what services must do, given the other ``changes``."""
    notices = {verb: _readers(verb, desired, observed, changes) for verb in ("restart", "reload")}
    restarts, reloads = notices["restart"], notices["reload"]
    for service in desired.services:
        state = observed.services.get(service.name, _UNKNOWN)
        moved = _was_ours(observed, service)
        anew, again = restarts.pop(service.name, []), reloads.pop(service.name, [])
        change = _change(service, observed, changes, restarts=anew, reloads=again)
        if change is not None:
            yield change
        if service.enabled != state.enabled and (state.known or service.enabled):
            action = Action.ENABLE if service.enabled else Action.DISABLE
            yield Change(Kind.SERVICE, service.name, action, drift=moved and state.known)
    for name, paths in sorted(restarts.items()):
        yield Change(Kind.SERVICE, name, Action.RESTART, f"for {', '.join(paths)}, if it runs")
    for name, paths in sorted(reloads.items()):
        if name not in restarts:
            yield Change(Kind.SERVICE, name, Action.RELOAD, f"for {', '.join(paths)}, if it runs")


def _change(
    service: Service,
    observed: Observed,
    changes: Sequence[Change],
    *,
    restarts: list[str],
    reloads: list[str],
) -> Change | None:
    state, moved = observed.services.get(service.name, _UNKNOWN), _was_ours(observed, service)
    name, running = service.name, state.state == "running"
    if service.state != "running":
        return (
            Change(Kind.SERVICE, name, Action.STOP, risk=_stop_risk(name), drift=moved) if running else None
        )
    if not running:
        return Change(Kind.SERVICE, name, Action.START, drift=moved and state.known)
    anew = _begun_anew(service, changes, restarts, systemd=bool(observed.facts.get("systemd")))
    if anew is not None:
        return anew
    return Change(Kind.SERVICE, name, Action.RELOAD, f"for {', '.join(reloads)}") if reloads else None


def taken_later(path: str, observed: Observed) -> bool:
    """Whether a change of the file waits for the relay's next start: systemd reads its unit then, calls go on."""
    running = observed.services.get(RELAY, _UNKNOWN).state == "running"
    return path == _unit(RELAY) and running and bool(observed.facts.get("systemd"))


def _was_ours(observed: Observed, service: Service) -> bool:
    """Whether the last apply set this service up: it laid down the unit file."""
    return observed.applied is not None and _unit(service.name) in observed.applied.files


def _readers(
    verb: str, desired: Desired, observed: Observed, changes: Sequence[Change]
) -> dict[str, list[str]]:
    """Return service → changing files that ask for its ``reload`` or ``restart``; removed ones as of the last apply."""
    last: Mapping[str, str] = {}
    if observed.applied is not None:
        last = observed.applied.reloads if verb == "reload" else observed.applied.restarts
    wanted = {file.path: getattr(file, verb) for file in desired.files}
    found: dict[str, list[str]] = {}
    for change in changes:
        if change.kind is Kind.FILE and (name := wanted.get(change.name, last.get(change.name))):
            found.setdefault(str(name), []).append(change.name)
    return found


def _begun_anew(
    service: Service, changes: Sequence[Change], restarts: list[str], *, systemd: bool
) -> Change | None:
    """Return the restart or upgrade that the other changes ask for, as the node carries it out."""
    risk = Risk.RESTARTS_RELAY if service.name == RELAY else None
    changed = any(change.kind is Kind.FILE and change.name == _unit(service.name) for change in changes)
    if changed and systemd and service.name != RELAY:
        return Change(Kind.SERVICE, service.name, Action.RESTART, "its unit file changes")
    if restarts:
        return Change(Kind.SERVICE, service.name, Action.RESTART, f"for {', '.join(restarts)}", risk=risk)
    released = any(change.kind is Kind.RELEASE for change in changes)
    if not released or not any(word.startswith(_RELEASE_LINK) for word in service.supervise):
        return None
    if service.name == RELAY:
        detail = "another release; calls go on if its media part is the same"
        return Change(Kind.SERVICE, service.name, Action.UPGRADE, detail, risk=risk)
    return Change(Kind.SERVICE, service.name, Action.RESTART, "another release")


def _unit(name: str) -> str:
    return f"/etc/systemd/system/{name}.service"


def _stop_risk(name: str) -> Risk:
    return Risk.RESTARTS_RELAY if name == RELAY else Risk.STOPS_SERVICE
