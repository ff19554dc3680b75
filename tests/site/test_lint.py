from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.site.text import lint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None),
        ("true", True), ("True", True), ("FALSE", False),
        ("0", 0), ("-7", -7), ("42", 42), ("123456789012345678", 123456789012345678),
        ("0x1F", 31), ("0o17", 15),
        ("PCMA", "PCMA"), ("nope", "nope"), ("nO", "nO"), ("y", "y"), ("N", "N"), ("onward", "onward"),
        ("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1"), ("10.0.0.0/8", "10.0.0.0/8"),
        ("30s", "30s"), ("16384-32767", "16384-32767"), ("5060:5061", "5060:5061"), ("2026-01-31", "2026-01-31"),
        ("1:99", "1:99"), ("-", "-"), ("+", "+"), (".", "."), ("..", ".."), ("٣", "٣"), ("²", "²"),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = lint.resolve(text)
    assert (found.value, type(found.value), found.rule) == (value, type(value), "")


@pytest.mark.parametrize("text", ["0.0125", "-.5", "1.", "1e-3", "1E+3", "12e4"])
def test_floats_stay_text(text: str) -> None:
    found = lint.resolve(text)
    assert (found.value, found.number, found.rule) == (text, True, "")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("00441", "yaml-unquoted-digits"), ("+44", "yaml-unquoted-digits"), ("-07", "yaml-unquoted-digits"),
        ("0644", "yaml-unquoted-digits"), ("1_000", "yaml-unquoted-digits"), ("0b101", "yaml-unquoted-digits"),
        ("1234567890123456789", "yaml-unquoted-digits"), ("9" * 5000, "yaml-unquoted-digits"),
        ("no", "yaml-boolean"), ("No", "yaml-boolean"), ("YES", "yaml-boolean"), ("on", "yaml-boolean"),
        ("off", "yaml-boolean"),
        ("22:30", "yaml-sexagesimal"), ("08:00", "yaml-sexagesimal"), ("1:02:03", "yaml-sexagesimal"),
        ("00:11:22:33:44:55", "yaml-sexagesimal"), ("+1:30.5", "yaml-sexagesimal"),
        (".inf", "yaml-number"), ("-.INF", "yaml-number"), (".nan", "yaml-number"), ("1e999999999", "yaml-number"),
        ("0." + "3" * 100, "yaml-number"), ("1e" + "1" * 5000, "yaml-number"),
    ],
)  # fmt: skip
def test_what_readers_disagree_on_has_a_rule_and_stays_text(text: str, rule: str) -> None:
    found = lint.resolve(text)
    assert (found.value, found.rule) == (text, rule)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("4420", "yaml-unquoted-digits"), ("0.5", "yaml-unquoted-digits"), ("true", "yaml-boolean"),
     ("no", "yaml-boolean"), ("~", "yaml-key"), ("", "yaml-key"), ("acme", ""), ("/etc/x.conf", "")],
)  # fmt: skip
def test_a_key_is_a_plain_word_or_quoted(text: str, rule: str) -> None:
    found = lint.resolve_key(text)
    assert (found.value, found.rule) == (text, rule)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("00441", 'write "00441", or 441 if it is a quantity'),
        ("+44", 'write "+44", or 44 if it is a quantity'),
        ("1_000", 'write "1_000", or 1000 if it is a quantity'),
        ("0b101", 'write "0b101"'),
        ("1234567890123456789", 'write "1234567890123456789"'),
        ("no", 'write "no" for the word, or false for the truth value'),
        ("On", 'write "On" for the word, or true for the truth value'),
        ("22:30", 'write "22:30"'),
        (".inf", 'write a finite number, or ".inf" for the text'),
    ],
)
def test_the_hint_is_the_fix(text: str, hint: str) -> None:
    advice = lint.advise(lint.resolve(text).rule, text)
    assert advice.hint == hint
    assert text in advice.message


def test_the_hint_for_a_key_is_a_key() -> None:
    assert lint.advise("yaml-unquoted-digits", "4420", key=True).hint == 'write "4420":'
    assert lint.advise("yaml-boolean", "no", key=True).hint == 'write "no":'


def test_long_texts_are_shortened() -> None:
    advice = lint.advise("yaml-unquoted-digits", "0" * 5000)
    assert len(advice.message) < 200
    assert len(advice.hint) < 200


def test_on_the_command_line_the_ambiguous_is_text() -> None:
    assert [lint.resolve_argument(text).value for text in ("off", "00441", "22:30", "30", "true", "null")] == [
        "off", "00441", "22:30", 30, True, None,
    ]  # fmt: skip


numbers = st.text(alphabet="0123456789+-._:eExob", max_size=30)


@given(st.text() | numbers)
def test_every_text_has_a_meaning_that_keeps_it_or_is_plainly_a_value(text: str) -> None:
    found = lint.resolve(text)
    if found.rule:
        assert found.value == text
        assert lint.advise(found.rule, text).hint
    if isinstance(found.value, str):
        assert found.value == text
    elif (
        isinstance(found.value, int)
        and not isinstance(found.value, bool)
        and "0x" not in text
        and "0o" not in text
    ):
        assert str(found.value) == text or text == "-0"
