from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_text import places

from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, Scalar, plain
from vosctl.site.variables.extra import load_extra_vars


def load(*texts: str) -> tuple[list[Any], Problems]:
    problems = Problems()
    return [plain(tree) for tree in load_extra_vars(texts, problems)], problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", [{"a": 1}]),
        ("media.jitter=wan", [{"media": {"jitter": "wan"}}]),
        ("media.proxy=off", [{"media": {"proxy": "off"}}]),
        ("prefix=00441", [{"prefix": "00441"}]),
        ('prefix="441"', [{"prefix": "441"}]),
        ("on=true off=null", [{"on": True}, {"off": None}]),
        ("a=", [{"a": ""}]),
        ("a=b=c", [{"a": "b=c"}]),
        ("text=two words", [{"text": "two words"}]),
        ("a=it's", [{"a": "it's"}]),
        ('x=1 text="two words" y=2', [{"x": 1}, {"text": "two words"}, {"y": 2}]),
        ('limits={"cps": 10, "concurrent": 5}', [{"limits": {"cps": 10, "concurrent": 5}}]),
        ("codecs=[PCMA, G729]", [{"codecs": ["PCMA", "G729"]}]),
        ('{"media": {"ptime": 40}}', [{"media": {"ptime": 40}}]),
        ("{media: {ptime: 40}}", [{"media": {"ptime": 40}}]),
        ("ansible_user=root", [{"user": "root"}]),
        ("{}", []),
    ],
)
def test_what_may_be_written(text: str, expected: list[Any]) -> None:
    found, problems = load(text)
    assert not problems.found
    assert found == expected


def test_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("more.yml").write_text("media: {ptime: 30}\n")
    assert load("@more.yml", "a=1")[0] == [{"media": {"ptime": 30}}, {"a": 1}]


@pytest.mark.parametrize(
    ("texts", "rule", "place"),
    [
        (["novalue"], "extra-vars", "--extra-vars:1:1"),
        (["a=1", "=2"], "extra-vars", "--extra-vars:2:1"),
        ([""], "extra-vars", "--extra-vars:1:1"),
        (["1a=2"], "extra-vars", "--extra-vars:1:1"),
        (["a..b=2"], "extra-vars", "--extra-vars:1:1"),
        (["{a: no}"], "yaml-boolean", "--extra-vars:1:5"),
        (["a=1", "x.y={p: 007}"], "yaml-unquoted-digits", "--extra-vars:2:9"),
        (["{a: b"], "yaml-syntax", "--extra-vars:1:6"),
        (["[1, 2]"], "vars-shape", "--extra-vars:1:1"),
        (["@/nonexistent/file"], "file-missing", "/nonexistent/file:1:1"),
        (["a={b: }"], "empty-value", "--extra-vars:1:4"),
    ],
)
def test_what_is_wrong_has_a_place_in_the_option(texts: list[str], rule: str, place: str) -> None:
    _, problems = load(*texts)
    assert places(problems) == [(rule, place)]
    assert problems.errors[0].hint


def test_marks_point_into_the_option() -> None:
    problems = Problems()
    (first, second) = load_extra_vars(("x=1 media.limits={cps: 5}",), problems)
    assert str(first.items["x"].mark) == "--extra-vars:1:3"
    assert str(second.key_marks["media"]) == "--extra-vars:1:5"
    media = second.items["media"]
    assert isinstance(media, Mapping)
    limits = media.items["limits"]
    assert isinstance(limits, Mapping)
    cps = limits.items["cps"]
    assert isinstance(cps, Scalar)
    assert str(cps.mark) == "--extra-vars:1:24"


def test_paths_of_findings_begin_at_the_variables() -> None:
    _, problems = load("media.limits={cps: 007}", "keys.ab={value: 0123456789}")
    assert [problem.path for problem in problems.errors] == ["media.limits.cps", "keys.ab.value"]
    assert "0123456789" not in str(problems.errors[1]) + problems.errors[1].hint


def test_a_value_that_is_a_secret_is_not_repeated_in_an_error() -> None:
    _, problems = load("key value=hunter2secret")
    assert problems.errors
    assert not any("hunter2secret" in str(problem) + problem.hint for problem in problems.found)


@given(st.lists(st.text(alphabet="ab=.{}[]:'\" @,\\0\n", max_size=20) | st.text(max_size=10), max_size=3))
def test_no_text_raises(texts: list[str]) -> None:
    _, problems = load(*texts)
    assert all(problem.hint for problem in problems.found)
