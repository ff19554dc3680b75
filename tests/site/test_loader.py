from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tree_text import mapping, places, tree

from vosctl.site.problems import Problems
from vosctl.site.text import loader
from vosctl.site.text.loader import load_file, load_text, shown
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value, plain


def load(path: Path) -> tuple[Value | None, Problems]:
    problems = Problems()
    return load_file(path, "f.yml", problems), problems


def test_values_and_their_marks() -> None:
    value = mapping(
        """\
        gateways:
          acme: {codecs: [PCMA, "PCMU"], cps: 10}
          'b é':  0.0125
        none:
        """
    )
    gateways = value.items["gateways"]
    assert isinstance(gateways, Mapping)
    assert (gateways.mark, value.key_marks["gateways"]) == (Mark("t.yml", 2, 3), Mark("t.yml", 1, 1))
    acme = gateways.items["acme"]
    assert isinstance(acme, Mapping)
    codecs = acme.items["codecs"]
    assert isinstance(codecs, Sequence)
    assert [str(item.mark) for item in codecs.items] == ["t.yml:2:19", "t.yml:2:25"]
    assert [item.quoted for item in codecs.items if isinstance(item, Scalar)] == [False, True]
    assert acme.key_marks["cps"] == Mark("t.yml", 2, 34)
    price = gateways.items["b é"]
    assert isinstance(price, Scalar)
    assert (price.value, price.number, price.mark) == ("0.0125", True, Mark("t.yml", 3, 11))
    none = value.items["none"]
    assert isinstance(none, Scalar)
    assert (none.value, none.text, none.quoted) == (None, "", False)


def test_all_findings_of_a_file_come_at_once() -> None:
    problems = Problems()
    text = """\
prefix: 00441
e164: +44
proxy: off
at: 22:30
prefix: "1"
rows:
  4420: {rate: 0.01}
  no: {rate: .inf}
secret: !vault x
list: [a, {b: yes, [c]: d}]
tabbed:
\tx: 1
"""
    assert load_text(text, "f.yml", problems) is None
    assert places(problems) == [
        ("yaml-unquoted-digits", "f.yml:1:9"),
        ("yaml-unquoted-digits", "f.yml:2:7"),
        ("yaml-boolean", "f.yml:3:8"),
        ("yaml-sexagesimal", "f.yml:4:5"),
        ("yaml-duplicate-key", "f.yml:5:1"),
        ("yaml-unquoted-digits", "f.yml:7:3"),
        ("yaml-boolean", "f.yml:8:3"),
        ("yaml-number", "f.yml:8:14"),
        ("yaml-tag", "f.yml:9:9"),
        ("yaml-boolean", "f.yml:10:15"),
        ("yaml-key", "f.yml:10:20"),
        ("yaml-syntax", "f.yml:12:1"),
    ]
    paths = [problem.path for problem in problems.errors]
    assert paths[5:8] == ["rows.4420", "rows.no", "rows.no.rate"]
    assert paths[9] == "list[1].b"
    assert all(problem.hint for problem in problems.errors)


def test_a_duplicate_key_names_the_first_and_keeps_it() -> None:
    problems = Problems()
    value = load_text("a: 1\nb: 2\na: 3\n", "f.yml", problems)
    assert value is not None
    assert plain(value) == {"a": 1, "b": 2}
    assert problems.errors[0].message == "a is written twice; first in line 1"


def test_a_secret_is_never_part_of_a_message() -> None:
    problems = Problems()
    load_text("keys:\n  ab: {value: 0123456789}\ngateways: {x: {password: 00077}}\n", "f.yml", problems)
    assert [problem.path for problem in problems.errors] == ["keys.ab.value", "gateways.x.password"]
    assert not any("0123456789" in str(p) + p.hint or "00077" in str(p) + p.hint for p in problems.errors)


def test_anchors_share_and_merge_keys_fill_in() -> None:
    value = mapping(
        """\
        base: &base {codecs: [PCMA], ptime: 20, tier: small}
        other: &other {tier: large, dtmf: info}
        a: *base
        b: {<<: *base, ptime: 30}
        c:
          <<: [*other, *base]
          ptime: 40
        """
    )
    assert value.items["a"] is value.items["base"]
    assert plain(value.items["b"]) == {"codecs": ["PCMA"], "ptime": 30, "tier": "small"}
    assert plain(value.items["c"]) == {"codecs": ["PCMA"], "ptime": 40, "tier": "large", "dtmf": "info"}
    b = value.items["b"]
    assert isinstance(b, Mapping)
    assert (b.key_marks["tier"].line, b.key_marks["ptime"].line) == (1, 4)


def test_a_quoted_merge_key_is_a_key() -> None:
    assert plain(tree('"<<": {a: 1}')) == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("a: &a [*a]", "yaml-alias", "f.yml:1:4"),
        ("a: &a {b: {c: *a}}", "yaml-alias", "f.yml:1:4"),
        ("b: {<<: [1]}", "yaml-merge", "f.yml:1:10"),
        ("a: !!str 12", "yaml-tag", "f.yml:1:4"),
        ("!x k: 1", "yaml-tag", "f.yml:1:1"),
    ],
)
def test_what_yaml_allows_and_we_do_not(text: str, rule: str, place: str) -> None:
    problems = Problems()
    assert load_text(text, "f.yml", problems) is not None
    assert places(problems) == [(rule, place)]


def test_a_billion_laughs_are_one_error() -> None:
    levels = ["a0: &a0 [ha, ha]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 60)]
    problems = Problems()
    load_text("\n".join(levels), "f.yml", problems)
    assert [problem.rule for problem in problems.errors] == ["yaml-alias"]


def test_aliases_cannot_nest_deeper_than_text() -> None:
    levels = ["a0: &a0 [x]"] + [f"a{i}: &a{i} {'[' * 50}*a{i - 1}{']' * 50}" for i in range(1, 9)]
    problems = Problems()
    load_text("\n".join(levels), "f.yml", problems)
    assert [problem.rule for problem in problems.errors] == ["yaml-alias"]


def test_an_empty_file_is_null(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("# nothing\n")
    value, problems = load(tmp_path / "f")
    assert isinstance(value, Scalar)
    assert (value.value, value.mark, problems.found) == (None, Mark("f.yml", 1, 1), [])


def test_a_byte_order_mark_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: no\n")
    _, problems = load(tmp_path / "f")
    assert places(problems) == [("yaml-encoding", "f.yml:1:1"), ("yaml-boolean", "f.yml:1:4")]


def test_what_is_not_utf_8_has_a_place(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("a: b\né: caf".encode() + b"\xe9\n")
    value, problems = load(tmp_path / "f")
    assert value is None
    assert places(problems) == [("yaml-encoding", "f.yml:2:7")]


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert places(load(tmp_path / "missing")[1]) == [("file-missing", "f.yml:1:1")]
    assert places(load(tmp_path)[1]) == [("file-unreadable", "f.yml:1:1")]
    assert places(load(Path("a\0b"))[1]) == [("file-unreadable", "f.yml:1:1")]
    assert places(load(tmp_path / ("x" * 300))[1]) == [("file-unreadable", "f.yml:1:1")]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert places(load(tmp_path / "s")[1]) == [("file-unreadable", "f.yml:1:1")]


def test_a_file_without_permission_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a: 1")
    (tmp_path / "f").chmod(0)
    before = os.geteuid()
    if before == 0:  # root may read everything
        os.seteuid(65534)
    try:
        _, problems = load(tmp_path / "f")
    finally:
        os.seteuid(before)
    assert places(problems) == [("file-unreadable", "f.yml:1:1")]
    assert problems.errors[0].message == "cannot be read: Permission denied"


def test_a_file_over_the_limit_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MAX_BYTES", 10)
    (tmp_path / "f").write_text("a: 12345678")
    assert places(load(tmp_path / "f")[1]) == [("yaml-too-large", "f.yml:1:1")]


def test_paths_are_shown_relative_where_that_is_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert shown(tmp_path / "in" / "a" / "b.yml") == "a/b.yml"
    assert shown(Path("a/../b.yml")) == "b.yml"
    assert shown(tmp_path / "out.yml") == str(tmp_path / "out.yml")


def test_marks_are_right_in_a_file_of_fifteen_thousand_lines(tmp_path: Path) -> None:
    block = '  gw{0}:\n    type: mapping\n    addresses: ["10.0.0.1"]\n    auth: ip\n    limits: {{cps: {0}, concurrent: 5}}\n'
    text = "gateways:\n" + "".join(block.format(number) for number in range(3000))
    (tmp_path / "f").write_text(text)
    lines = text.split("\n")
    value, problems = load(tmp_path / "f")
    assert not problems.found
    assert isinstance(value, Mapping)
    gateways = value.items["gateways"]
    assert isinstance(gateways, Mapping)
    assert len(gateways.items) == 3000
    for number, (name, gateway) in enumerate(gateways.items.items()):
        line = 2 + number * 5
        assert name == f"gw{number}"
        assert gateways.key_marks[name] == Mark("f.yml", line, 3)
        assert isinstance(gateway, Mapping)
        for field, mark in gateway.key_marks.items():
            assert lines[mark.line - 1][mark.column - 1 :].startswith(f"{field}:")
        limits = gateway.items["limits"]
        assert isinstance(limits, Mapping)
        cps = limits.items["cps"]
        assert isinstance(cps, Scalar)
        assert (cps.value, cps.mark) == (number, Mark("f.yml", line + 4, 19))


def nodes(value: Value) -> list[Value]:
    found: list[Value] = [value]
    children = (
        value.items.values()
        if isinstance(value, Mapping)
        else value.items
        if isinstance(value, Sequence)
        else ()
    )
    for child in children:
        found += nodes(child)
    return found


yamlish = st.text(alphabet="ab01:+-. \n[]{}'\"&*!|>#,~<no\té\u2028", max_size=120)


@example("?")
@example("{<<")
@given(st.text() | yamlish)
def test_no_text_raises_and_every_mark_is_inside(text: str) -> None:
    problems = Problems()
    value = load_text(text, "f", problems)
    assert value is not None or problems.errors
    bounds = range(1, len(re.findall("\r\n|[\n\r\x85\u2028\u2029]", text)) + 2)
    for node in nodes(value) if value is not None else ():
        assert node.mark.line in bounds
    for problem in problems.found:
        assert problem.mark.line in bounds
        assert problem.hint


@given(st.binary(max_size=200))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yml"
    path.write_bytes(data)
    value, problems = load(path)
    assert value is not None or problems.errors


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(
        alphabet=st.characters(
            codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff\ufffe\uffff"
        ),
        max_size=20,
    )
)


@given(
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_json_means_the_same_here(data: object) -> None:
    problems = Problems()
    value = load_text(json.dumps(data, ensure_ascii=False), "f", problems)
    assert not problems.errors
    assert value is not None
    assert plain(value) == data
