"""Edits of a rotation leave every other byte where it was, in every layout that people write trunks and keys in."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
import yaml

from vosctl.errors import UsageError
from vosctl.rotation import edit
from vosctl.rotation.choose import choose, told_age
from vosctl.rotation.generate import LENGTHS, new_key, new_name
from vosctl.secret import Secret
from vosctl.site.model import Encryption, Key, Trunk
from vosctl.site.tree import Mark
from vosctl.vault.document import parse

ENTRY = '{value: "u7XkQ2mZr94TbnLe", created: 2026-11-23T09:00:00Z}'
TRUNK = (
    "  ab:\n    # first\n    key: old # now\n\n    accept: [older] # the one before\n    encryption: aes128\n",
    "  ab:\n    encryption: aes128\n    key: 'old'\n    accept:   # the one before\n      - older  # soon gone\n    # end of ab\n",
    '  ab:\n    key: old\n    accept:\n    - older\n    - "oldest"\n',
    "  ab: {encryption: aes128, key: old, accept: [older, oldest,], codecs: [PCMA]}  # in one line\n",
    "  ab: {key: old}\n",
    "  ab:\n    key: old\n    codecs: [PCMA]\n",
    "  ab:\n    accept: [ # two lines\n      older, # why\n      oldest\n    ]\n    key: old\n",
    "  ab:\n    key: old\n    accept: []\n",
)  # fmt: skip
KEYS = (
    "keys:\n  older: {value: a} # a\n  old: {value: b} # b\n",
    "keys:\n  max_age: 30d\n  older:\n    value: a # a\n\n  # for ab\n  old:\n    value: b\n    created: 2026-01-01\n\n# end\n",
    "keys: {older: {value: a}, old: {value: b}}\n",
)
REST = "other:\n  - 'x: y' # kept\n\n  - |\n    text\n    more\n"
TEXTS = [
    text.replace("\n", end)
    for trunk, keys, end in itertools.product(TRUNK, KEYS, ("\n", "\r\n"))
    for text in (f"# top\ntrunks:\n{trunk}  cd: {{key: old}}\n{keys}{REST}", f"{REST}{keys}trunks:\n{trunk}")
]


def doc(text):
    return parse(text, "trunks.yml")


def tree(text):
    return yaml.safe_load(text)


@pytest.mark.parametrize("text", TEXTS)
def test_stage_and_back_is_byte_for_byte(text):
    had, has = edit.accepted(doc(text), "ab"), edit.has_accept(doc(text), "ab")
    staged = edit.with_accepted(doc(edit.with_key(doc(text), "new", ENTRY)), "ab", [*had, "new"], keep=has)
    after = tree(staged)
    assert after["trunks"]["ab"]["accept"] == [*tree(f"[{', '.join(had)}]"), "new"]
    assert after["keys"]["new"]["value"] == "u7XkQ2mZr94TbnLe"
    expected = tree(text)
    expected["trunks"]["ab"]["accept"] = after["trunks"]["ab"]["accept"]
    expected["keys"]["new"] = after["keys"]["new"]
    assert after == expected
    for line in re.findall(r"#.*", text):
        assert line.split("\r")[0] in staged
    back = edit.without_key(doc(edit.with_accepted(doc(staged), "ab", had, keep=has)), "new")
    assert back == text


@pytest.mark.parametrize("text", TEXTS)
def test_the_rest_of_the_way_moves_nothing_else(text):
    had, has = edit.accepted(doc(text), "ab"), edit.has_accept(doc(text), "ab")
    made = edit.with_current(doc(edit.with_key(doc(text), "new", ENTRY)), "ab", "new")
    made = edit.with_accepted(doc(made), "ab", [*had, "old"], keep=has)
    made = edit.with_accepted(doc(made), "ab", [], keep=has)
    for name in ("older", "old"):
        made = edit.without_key(doc(made), name)
    after, expected = tree(made), tree(text)
    assert after["keys"].pop("new")
    del expected["keys"]["older"], expected["keys"]["old"]
    expected["trunks"]["ab"]["key"] = "new"
    expected["trunks"]["ab"].pop("accept", None)
    assert after["trunks"]["ab"].pop("accept", []) == []
    assert after == expected
    kept = [line for line in text.splitlines() if not re.search(r"old|value:|created:|accept|\]|ab:", line)]
    assert [line for line in made.splitlines() if line in kept] == kept


@pytest.mark.parametrize("text", TEXTS)
def test_a_mode_comes_and_goes_byte_for_byte(text):
    made = edit.with_key_mode(doc(text), "old", "xor")
    assert tree(made)["keys"]["old"]["mode"] == "xor"
    assert edit.with_key_mode(doc(made), "old", "rc4") == made
    assert edit.without_key_mode(doc(made), "old") == text


def test_what_is_written_elsewhere_is_not_touched():
    text = "x: &list [a]\ntrunks:\n  ab: {key: old, accept: *list}\n"
    with pytest.raises(UsageError, match=r"trunks\.yml: trunks\.ab\.accept is not written where"):
        edit.with_accepted(doc(text), "ab", ["b"])
    with pytest.raises(UsageError, match="a key old is there already"):
        edit.with_key(doc("keys: {old: {value: a}}\n"), "old", ENTRY)


def test_new_keys_are_of_the_modes_length_and_never_the_same():
    for mode, length in LENGTHS.items():
        made = {new_key(mode).reveal() for _ in range(50)}
        assert len(made) == 50
        assert all(re.fullmatch(f"[A-Za-z0-9]{{{length}}}", value) for value in made)
    with pytest.raises(UsageError, match="none has no keys of ours to make"):
        new_key(Encryption.NONE)


def test_names_are_short_and_new():
    moment = datetime(2026, 11, 23, 9, 12, 5, tzinfo=timezone.utc)
    assert new_name("ab", moment, ()) == "ab-20261123-091205"
    assert new_name("ab", moment, ("ab-20261123-091205",)) == "ab-20261123-091205-2"
    long = new_name("frankfurt-amsterdam-over-the-sea", moment, ())
    assert long == "frankfurt-amster-20261123-091205"
    assert len(long) == 32


NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def a_site(*ages, encryption=Encryption.AES128, selected=("a", "b")):
    mark = Mark("x", 1, 1)
    trunks = {}
    for number, age in enumerate(ages):
        made = None if age is None else NOW - timedelta(days=age)
        key = Key(f"k{number}", Secret("x"), mark, None, made)
        trunks[f"t{number}"] = Trunk(
            f"t{number}", ("a", "b"), encryption, key, (key,), (), public=False, mark=mark
        )
    node = SimpleNamespace(trunks=trunks)
    return SimpleNamespace(nodes={"a": node, "b": node}, selected=selected)


@pytest.mark.parametrize(
    ("days", "found"), [(None, ["t0", "t1", "t2"]), (30, ["t0", "t2"]), (40, ["t0", "t2"]), (41, ["t2"])]
)
def test_old_keys_and_those_of_unknown_age_are_chosen(days, found):
    older = None if days is None else timedelta(days=days)
    chosen = choose(a_site(40, 3, None), (), moment=NOW, older_than=older)
    assert [one.trunk.name for one in chosen] == found
    assert choose(a_site(40, 3), ("t1",), moment=NOW, older_than=timedelta(days=9)) == []


def test_a_trunk_with_an_end_elsewhere_or_without_keys_is_not_chosen():
    assert choose(a_site(1, selected=("a",)), (), moment=NOW) == []
    assert choose(a_site(1, encryption=Encryption.SRTP), (), moment=NOW) == []
    with pytest.raises(UsageError, match="no trunk with keys is called t9"):
        choose(a_site(1), ("t9",), moment=NOW)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (None, "of unknown age"),
        (timedelta(seconds=9), "new"),
        (timedelta(minutes=1), "1 minute old"),
        (timedelta(hours=23), "23 hours old"),
        (timedelta(days=41, hours=3), "41 days old"),
    ],
)
def test_ages_are_told_as_people_do(age, words):
    assert told_age(age) == words
