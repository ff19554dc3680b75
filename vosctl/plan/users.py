"""Compares users: wanted against what the node's own files say."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import asdict

from vosctl.compile.desired import Desired, User
from vosctl.plan.change import Action, Change, Held, Kind
from vosctl.plan.observed import Observed, UserState

_FIELDS = ("uid", "groups", "shell", "home")
_NONE = UserState(exists=False, same=False, fields={})


def users(desired: Desired, observed: Observed) -> Iterator[Change | Held]:
    """Yield users to make, change and remove; the login of this very connection is never removed."""
    able = observed.ability("users")
    for user in desired.users:
        state = observed.users.get(user.name, _NONE)
        if state.same and not observed.is_machine:
            yield Held(Kind.USER, user.name, able.reason or "node is a directory")
            continue
        change = _change(user, state, observed)
        if change is None:
            continue
        if change.action is Action.REMOVE and user.name == observed.login:
            yield Held(Kind.USER, user.name, "vosctl is logged in as this user: it must stay", fatal=True)
        elif able.ok:
            yield change
        else:
            yield Held(Kind.USER, user.name, able.reason, fatal=True)


def _change(user: User, state: UserState, observed: Observed) -> Change | None:
    last = observed.applied.users.get(user.name) if observed.applied else None
    moved = last is not None and _words(last) == _words(asdict(user))
    if not user.present:
        detail = "the home folder stays"
        return Change(Kind.USER, user.name, Action.REMOVE, detail, drift=moved) if state.exists else None
    wanted = {name: value for name in _FIELDS if (value := getattr(user, name)) is not None}
    if not state.exists:
        lines = tuple(f"+{name}: {_text(value)}" for name, value in wanted.items())
        return Change(Kind.USER, user.name, Action.CREATE, f"home {user.home}", lines, drift=moved)
    now = state.fields
    differing = [name for name in wanted if _text(wanted[name]) != _text(now.get(name))]
    if not differing:
        return None
    lines = tuple(
        line
        for name in differing
        for line in (f"-{name}: {_text(now.get(name))}", f"+{name}: {_text(wanted[name])}")
    )
    return Change(Kind.USER, user.name, Action.CHANGE, ", ".join(differing), lines, drift=moved)


def _words(fields: object) -> dict[str, str]:
    return {name: _text(value) for name, value in dict(fields).items()} if isinstance(fields, dict) else {}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
