"""A replaced value is what dataclasses.replace makes of it."""

from __future__ import annotations

import dataclasses

import pytest

from vosctl.relay.control.calls import End
from vosctl.relay.control.values import replace


def test_the_copy_differs_in_what_was_named_and_the_original_in_nothing() -> None:
    end = End(remote=("192.0.2.1", 4000), pts=(0, 8))
    changed = replace(end, direction="sendonly", mux=True)
    assert changed == dataclasses.replace(end, direction="sendonly", mux=True)
    assert end == End(remote=("192.0.2.1", 4000), pts=(0, 8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.mux = False  # type: ignore[misc]


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="End has no colour, size"):
        replace(End(), size=1, mux=True, colour="red")
