"""Compares packages, the release, files, sysctls and services: wanted against observed."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.compile.desired import Desired, File, Service
from vosctl.plan.change import Action, Change, Held, Kind, Risk
from vosctl.plan.difference import secret_diff, unified
from vosctl.plan.observed import FileState, Observed, ServiceState

RELAY = "vosctl-relay"
Item = Change | Held


def packages(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield the packages to install."""
    able = observed.ability("packages")
    for name in desired.packages:
        if observed.packages.get(name, False):
            continue
        if able.ok:
            yield Change(Kind.PACKAGE, name, Action.INSTALL)
        else:
            yield Held(Kind.PACKAGE, name, able.reason)


def release(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield the relay release, if another one is current."""
    wanted = desired.release
    if wanted is None or (observed.release and observed.release[1] == wanted.digest):
        return
    new = f"{wanted.version} {wanted.digest[:12]}"
    if observed.release is None:
        yield Change(Kind.RELEASE, RELAY, Action.INSTALL, detail=new)
        return
    old = f"{observed.release[0]} {observed.release[1][:12]}"
    moved = observed.applied is not None and observed.applied.release == wanted.digest
    yield Change(Kind.RELEASE, RELAY, Action.CHANGE, detail=f"{old} -> {new}", drift=moved)


def files(desired: Desired, observed: Observed, *, key: bytes | None) -> Iterator[Item]:
    """Yield files to write, in the site's order, then those that vosctl left there once."""
    for file in desired.files:
        state = observed.files.get(file.path)
        change = (
            _new_file(file, observed, key)
            if state is None or not state.exists
            else _file(file, state, observed, key)
        )
        if change is not None:
            yield change
    for path in observed.orphan_files:
        yield Change(Kind.FILE, path, Action.REMOVE, detail="no longer in the site")


def _new_file(file: File, observed: Observed, key: bytes | None) -> Change:
    diff = (
        secret_diff("", file.digest, key=key) if file.secret else unified(None, file.content, name=file.path)
    )
    detail = f"mode {file.mode:04o}, {file.owner}:{file.group}"
    return Change(Kind.FILE, file.path, Action.CREATE, detail, diff, drift=_was(observed, file))


def _file(file: File, state: FileState, observed: Observed, key: bytes | None) -> Change | None:
    notes = []
    if state.mode != file.mode:
        notes.append(f"mode {state.mode:04o} -> {file.mode:04o}")
    if (state.owner, state.group) != (file.owner, file.group):
        notes.append(f"owner {state.owner}:{state.group} -> {file.owner}:{file.group}")
    if state.digest == file.digest:
        if not notes:
            return None
        return Change(Kind.FILE, file.path, Action.CHANGE, ", ".join(notes), drift=_was(observed, file))
    if file.secret:
        diff = secret_diff(state.digest, file.digest, key=key)
    elif state.content is None:
        diff = ()
        notes.append("the old content is too long to show")
    else:
        diff = unified(state.content, file.content, name=file.path)
    moved = (
        observed.applied is not None and observed.applied.files.get(file.path, state.digest) != state.digest
    )
    return Change(Kind.FILE, file.path, Action.CHANGE, ", ".join(notes), diff, drift=moved)


def _was(observed: Observed, file: File) -> bool:
    """Whether the last apply left exactly this content there."""
    return observed.applied is not None and observed.applied.files.get(file.path) == file.digest


def sysctls(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield kernel settings to write, and those that this node cannot have."""
    able = observed.ability("sysctl")
    kernel = observed.facts.get("kernel", "unknown")
    for wanted in desired.sysctls:
        state = observed.sysctls.get(wanted.key)
        if state is not None and state.value is not None and _words(state.value) == _words(wanted.value):
            continue
        if not able.ok:
            yield Held(Kind.SYSCTL, wanted.key, able.reason)
        elif state is not None and state.held:
            yield Held(
                Kind.SYSCTL, wanted.key, "belongs to the host; this node has a network namespace of its own"
            )
        elif state is None or state.value is None:
            yield Held(Kind.SYSCTL, wanted.key, f"kernel {kernel} has no such setting (a module not loaded?)")
        elif not state.writable:
            yield Held(Kind.SYSCTL, wanted.key, f"read-only on this node, stays {_words(state.value)}")
        else:
            old, new = _words(state.value), _words(wanted.value)
            last = observed.applied.sysctls.get(wanted.key) if observed.applied else None
            moved = last is not None and _words(last) != old
            yield Change(
                Kind.SYSCTL, wanted.key, Action.CHANGE, f"{old} -> {new}", (f"-{old}", f"+{new}"), drift=moved
            )


def _words(value: str) -> str:
    return " ".join(value.split())


def services(desired: Desired, observed: Observed, changes: list[Change]) -> Iterator[Item]:
    """Yield what services must do, given the ``changes`` so far."""
    for service in desired.services:
        state = observed.services.get(service.name) or ServiceState("stopped", enabled=False, known=False)
        yield from _service(desired, service, state, changes)
        if service.enabled != state.enabled and (state.known or service.enabled):
            action = Action.ENABLE if service.enabled else Action.DISABLE
            yield Change(Kind.SERVICE, service.name, action, drift=_settled(observed, state))


def _settled(observed: Observed, state: ServiceState) -> bool:
    return observed.applied is not None and state.known


def _service(
    desired: Desired, service: Service, state: ServiceState, changes: list[Change]
) -> Iterator[Item]:
    if service.state != "running":
        if state.state == "running":
            yield Change(Kind.SERVICE, service.name, Action.STOP, risk=_stop_risk(service))
        return
    if state.state != "running":
        yield Change(Kind.SERVICE, service.name, Action.START)
        return
    reason = _restart_reason(service, changes)
    if reason:
        yield Change(Kind.SERVICE, service.name, Action.RESTART, reason, risk=_restart_risk(service))
        return
    paths = {
        change.name for change in changes if change.kind is Kind.FILE and change.action is not Action.REMOVE
    }
    touched = [file.path for file in desired.files if file.reload == service.name and file.path in paths]
    if touched:
        yield Change(Kind.SERVICE, service.name, Action.RELOAD, f"for {', '.join(touched)}")


def _restart_reason(service: Service, changes: list[Change]) -> str:
    for change in changes:
        if change.kind is Kind.RELEASE and service.name == RELAY:
            return "another release"
        if change.kind is Kind.FILE and change.name == f"/etc/systemd/system/{service.name}.service":
            return "its unit file changes"
    return ""


def _restart_risk(service: Service) -> Risk | None:
    return Risk.RESTARTS_RELAY if service.name == RELAY else None


def _stop_risk(service: Service) -> Risk:
    return Risk.RESTARTS_RELAY if service.name == RELAY else Risk.STOPS_SERVICE
