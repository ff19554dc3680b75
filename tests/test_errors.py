"""The tree of errors in vosctl.errors is the one its docstring draws, with these exit codes."""

from __future__ import annotations

import pytest

from vosctl import errors

TREE = {
    "VosctlError": (Exception, 1),
    "InputError": (errors.VosctlError, 1),
    "UsageError": (errors.VosctlError, 64),
    "HostError": (errors.VosctlError, 2),
    "LockedError": (errors.HostError, 2),
    "RolledBackError": (errors.HostError, 6),
    "UnreachableError": (errors.HostError, 4),
    "NoAnswerError": (errors.UnreachableError, 4),
    "RelayError": (errors.VosctlError, 1),
}


def test_public_names() -> None:
    found = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
    assert found == set(TREE)


@pytest.mark.parametrize("name", sorted(TREE))
def test_parent_exit_code_and_drawing(name: str) -> None:
    parent, code = TREE[name]
    kind = getattr(errors, name)
    assert kind.__base__ is parent
    assert kind.exit_code == code
    line = next(line for line in (errors.__doc__ or "").splitlines() if f"{name} " in line)
    assert f"exit {code}" in line


def test_message_and_hint() -> None:
    error = errors.HostError("edge-a", "disk full", hint="free 2 MB in /var")
    assert str(error) == "edge-a: disk full\n  free 2 MB in /var"
    assert error.node == "edge-a"
