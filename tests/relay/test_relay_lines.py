"""Lines between control and media: what json itself writes and reads, by the shorter way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.relay import lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_line_is_what_json_writes_and_reads(value):
    line = lines.encode(value)
    assert line == json.dumps(value, separators=(",", ":"))
    assert "\n" not in line
    assert lines.decode(line) == lines.decode(f" {line}\r") == value


def test_this_python_has_the_shorter_way():
    assert lines.encode is not lines._slow


@pytest.mark.parametrize("line", ["", "{", "{} {}", '{"a":1}x', "nul"])
def test_what_is_no_json_is_refused(line):
    with pytest.raises(ValueError, match=r"line 1 column \d"):
        lines.decode(line)


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="bytes"):
        lines.encode({"a": b"x"})
