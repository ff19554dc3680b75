from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml.nodes import MappingNode

from vosctl.site.text.compose import MAX_DEPTH, compose


@pytest.mark.parametrize(
    ("text", "line", "column", "words", "hint"),
    [
        ("a: b\n\tc: d\n", 2, 1, "tab", "spaces"),
        ("a:\n\tb: c\n", 2, 1, "a tab in the indentation", "spaces"),
        ("a: 'x\nb: c\n", 1, 4, "the quote that begins here is never closed", "close the quote"),
        ("é: b: c", 1, 5, "mapping values are not allowed", "in quotes"),
        ("a: @x", 1, 4, "cannot start any token", "in quotes"),
        ("- a\nb", 2, 2, "could not find expected ':'", "add the colon"),
        ("x: {a: 1, b: [\n\n", 1, 15, "did not find expected node content", "close the bracket"),
        ("key: [a,\n  b\nc: d\n", 3, 2, "flow sequence that begins in line 1", "comma"),
        ("a: *nope", 1, 4, "undefined alias", "anchor"),
        ("a: &a 1\nb: &a 2", 2, 4, "duplicate anchor", "another name"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here", "second ---"),
        ('a: "\\q"', 1, 5, "escape", "twice"),
        ("é: \x01", 1, 4, "control characters", "out"),
        ("a:\n  - b\n c: d", 3, 2, "block mapping that begins in line 1", "indentation"),
    ],
)
def test_syntax_errors_have_place_words_and_hint(
    text: str, line: int, column: int, words: str, hint: str
) -> None:
    fault = compose(text).fault
    assert fault is not None
    assert (fault.rule, fault.line, fault.column) == ("yaml-syntax", line, column)
    assert words in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{" * 200_000, "- " * 200_000, "[1," * 50_000, "{a: " * 50_000]
)
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    fault = compose(text).fault
    assert fault is not None
    assert fault.rule == "yaml-too-deep"


def test_nesting_up_to_the_limit_is_fine() -> None:
    depth = MAX_DEPTH - 1
    assert compose("[" * depth + "x" + "]" * depth).fault is None


def test_too_many_values_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vosctl.site.text.compose.MAX_NODES", 1000)
    assert compose("[" + "1," * 990 + "]").fault is None
    fault = compose("[" + "1," * 1010 + "]").fault
    assert fault is not None
    assert fault.rule == "yaml-too-large"


def test_half_a_surrogate_pair_is_an_error() -> None:
    fault = compose("a: b\nc: \ud800").fault
    assert fault is not None
    assert (fault.rule, fault.line, fault.column) == ("yaml-encoding", 2, 4)


def test_what_stands_before_the_error_is_kept() -> None:
    composed = compose("a: 1\nb: {c: [2, 3,\nd: 4\n")
    assert composed.fault is not None
    assert isinstance(composed.root, MappingNode)
    (a, one), (b, inner) = composed.root.value
    assert (a.value, one.value, b.value) == ("a", "1", "b")
    ((c, numbers),) = inner.value
    assert (c.value, [number.value for number in numbers.value[:2]]) == ("c", ["2", "3"])


@given(st.text(alphabet="ab:- \n[]{}'\"&*!|>#%@,?\t\\<", max_size=200))
def test_no_text_raises(text: str) -> None:
    composed = compose(text)
    if composed.fault is not None:
        assert 1 <= composed.fault.line <= text.count("\n") + 1
        assert composed.fault.hint
