"""Compares packages, the release, files and sysctls: wanted against observed."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.compile.desired import Desired, File, Sysctl
from vosctl.plan.change import Action, Change, Held, Kind
from vosctl.plan.difference import secret_diff, unified
from vosctl.plan.observed import FileState, Observed, SysctlState
from vosctl.plan.printable import printable
from vosctl.plan.risk import Risk
from vosctl.plan.services import RELAY, taken_later

# The connection tracking module brings its settings when the first rule needs it.
_COMES_WITH_RULES = ("net.netfilter.nf_conntrack", "net.nf_conntrack")
_COMPILERS = ("gcc", "clang")
_FEW = 3
_NO_SETTING = SysctlState(None, writable=False, held=False)
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
            yield Held(Kind.PACKAGE, name, able.reason, fatal=observed.is_machine)


def accounts(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield the system accounts to make."""
    able = observed.ability("accounts")
    for name in desired.accounts:
        if observed.accounts.get(name, False):
            continue
        if able.ok:
            yield Change(
                Kind.ACCOUNT, name, Action.CREATE, "system user and group, no shell, no home; it stays"
            )
        else:
            yield Held(Kind.ACCOUNT, name, able.reason, fatal=observed.is_machine)


def release(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield the relay release, if another one is current."""
    wanted = desired.release
    if wanted is None:
        return
    if observed.release and observed.release[1] == wanted.digest:
        yield from _data_plane(desired, observed)
        return
    new = f"{wanted.version} {wanted.digest[:12]}"
    if observed.release is None:
        yield Change(Kind.RELEASE, RELAY, Action.INSTALL, detail=new)
        return
    old = f"{observed.release[0]} {observed.release[1][:12]}"
    moved = observed.applied is not None and observed.applied.release == wanted.digest
    yield Change(Kind.RELEASE, RELAY, Action.CHANGE, detail=f"{old} -> {new}", drift=moved)


def _data_plane(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield the data plane that the release in use lacks on this node: compiled now, or still missing."""
    if not observed.lacks:
        return
    missing = (name for name in desired.packages if not observed.packages.get(name, False))
    able = observed.ability("packages").ok and any(name in _COMPILERS for name in missing)
    if able or observed.ability("compile").ok:
        yield Change(Kind.RELEASE, RELAY, Action.CHANGE, "its data plane is compiled on the node")
    else:
        yield Held(Kind.RELEASE, RELAY, f"it takes no calls: {printable(observed.lacks)}")


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
    if file.words is not None:
        diff, _ = file.words(None)
    elif file.secret:
        diff = secret_diff("", file.digest, key=key)
    else:
        diff = unified(None, file.content, name=file.path)
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
    if taken_later(file.path, observed):
        notes.append("takes effect at the next start of the relay, which goes on")
    risk = None
    if file.words is not None and state.content is not None:
        diff, found = file.words(state.content)
        risk = Risk(found) if found else None
        notes += _first(diff)
    elif file.secret:
        diff = secret_diff(state.digest, file.digest, key=key)
    elif not state.digest:
        diff = ()
        notes.append("is no regular file now")
    elif state.content is None:
        diff = ()
        hint = "; vosctl diff HEAD --nodes tells what changes" if file.words else ""
        notes.append(f"the old content is too long to show{hint}")
    else:
        diff = unified(state.content, file.content, name=file.path)
    moved = (
        observed.applied is not None and observed.applied.files.get(file.path, state.digest) != state.digest
    )
    return Change(Kind.FILE, file.path, Action.CHANGE, ", ".join(notes), diff, risk, drift=moved)


def _first(lines: tuple[str, ...]) -> list[str]:
    """Return what a line has room for of a change told in words, what carries a risk before the rest."""
    ordered = sorted(lines[1:], key=lambda line: not line.endswith("]"))
    more = [f"and {len(ordered) - _FEW} more, see --diff"] if len(ordered) > _FEW else []
    return [*ordered[:_FEW], *more]


def _was(observed: Observed, file: File) -> bool:
    """Whether the last apply left exactly this content there."""
    return observed.applied is not None and observed.applied.files.get(file.path) == file.digest


def sysctls(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield kernel settings to write, those that this node cannot have, then those that go back."""
    for wanted in desired.sysctls:
        state = observed.sysctls.get(wanted.key, _NO_SETTING)
        if state.value is not None and _words(state.value) == _words(wanted.value):
            continue
        yield _obstacle(desired, observed, wanted.key, state) or _sysctl(wanted, state, observed)
    if observed.applied is not None and observed.is_machine:
        wanted_keys = {wanted.key for wanted in desired.sysctls}
        for key in sorted(observed.applied.sysctls.keys() - wanted_keys):
            detail = "no longer in the site: back to what the node had"
            yield Change(Kind.SYSCTL, key, Action.REMOVE, detail)


def _obstacle(desired: Desired, observed: Observed, key: str, state: SysctlState) -> Held | None:
    able = observed.ability("sysctl")
    if not able.ok:
        return Held(Kind.SYSCTL, key, able.reason, fatal=observed.is_machine)
    if state.held:
        return Held(Kind.SYSCTL, key, "the host's, not this container's")
    if state.value is None and not (desired.rulesets and key.startswith(_COMES_WITH_RULES)):
        kernel = observed.facts.get("kernel", "unknown")
        reason = f"kernel {kernel} has no such setting (a module not loaded?)"
        return Held(Kind.SYSCTL, key, reason, fatal=True)
    if state.value is not None and not state.writable:
        return Held(Kind.SYSCTL, key, f"read-only on this node, stays {_words(state.value)}", fatal=True)
    return None


def _sysctl(wanted: Sysctl, state: SysctlState, observed: Observed) -> Change:
    new = _words(wanted.value)
    if state.value is None:
        return Change(Kind.SYSCTL, wanted.key, Action.CREATE, f"{new}; comes with the rules", (f"+{new}",))
    old = _words(state.value)
    last = observed.applied.sysctls.get(wanted.key) if observed.applied else None
    moved = last is not None and _words(last) != old
    lines = (f"-{old}", f"+{new}")
    detail = f"{old or '(empty)'} -> {new or '(empty)'}"
    return Change(Kind.SYSCTL, wanted.key, Action.CHANGE, detail, lines, drift=moved)


def _words(value: str) -> str:
    return " ".join(value.split())
