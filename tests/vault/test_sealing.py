"""What is sealed comes back with its type; nothing else in the text moves, and nothing that stayed is encrypted anew."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import stranger
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_case import OPERATORS, PASSWORD, keys, opened, seal, values

from vosctl.errors import InputError
from vosctl.secret import Secret
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.site.tree import Mapping, at, plain
from vosctl.vault.document import parse
from vosctl.vault.keys import Keys, using
from vosctl.vault.sealing import decrypt, encrypt, envelope_of, new_envelope, rekeyed
from vosctl.vault.values import Typed, literal, pack, render, string, unpack

SECRETS = ("u7XkQ2mZr94TbnLe", "Jw5pVe81sHdYq3Ct", "line one", "4711")


def changed(before: str, after: str) -> list[str]:
    return [line[2:] for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] == "+"]


def test_types_come_back_and_no_secret_stays_in_the_text(sealed):
    assert values(sealed) == {
        "keys.ab.value": ("s", "u7XkQ2mZr94TbnLe"),
        "keys.cd.value": ("s", "Jw5pVe81sHdYq3Ct"),
        "gateways.acme.password": ("s", "line one\nline two\n"),
        "custom.pin": ("i", "4711"),
        "custom.flag": ("b", "true"),
        "custom.nothing": ("n", ""),
        "custom.rate": ("f", "1.50"),
    }
    assert not [secret for secret in SECRETS if secret in sealed]
    for kept in ("# our keys", "# current", "# of the customer", "addresses: [192.0.2.1, 192.0.2.2]"):
        assert kept in sealed


def test_decrypting_and_encrypting_gives_the_same_bytes_but_for_the_version(sealed):
    found = opened(sealed)
    again = encrypt(parse(decrypt(found, marked=True), "f"), envelope_of(found), old=found)
    assert [line.split(":")[0].strip() for line in changed(sealed, again)] == ["serial", "mac"]


def test_one_changed_value_is_one_changed_line(sealed):
    found = opened(sealed)
    edited = decrypt(found, marked=True).replace("u7XkQ2mZr94TbnLe", "QQQQ2mZr94TbnLeX")
    again = encrypt(parse(edited, "f"), envelope_of(found), old=found)
    assert [line.split(":")[0].strip() for line in changed(sealed, again)] == ["ab", "serial", "mac"]


def test_a_new_data_key_changes_every_value_and_says_the_same(sealed):
    found = opened(sealed)
    again = encrypt(found.document, rekeyed(envelope_of(found)), old=found)
    assert values(again) == values(sealed)
    before = {leaf.node.value for leaf in found.document.tokens}
    assert before.isdisjoint(leaf.node.value for leaf in parse(again, "f").tokens)


def test_the_site_loader_opens_it_and_marks_it(sealed):
    problems = Problems()
    with using(keys()):
        tree = load_text(sealed, "f.yml", problems)
    assert not problems.found
    assert isinstance(tree, Mapping)
    assert "vosctl_vault" not in tree.items
    assert plain(tree)["custom"] == {"pin": 4711, "flag": True, "nothing": None, "rate": "1.50"}
    value = at(tree, ("keys", "cd", "value"))
    assert value.sealed and (value.mark.line, value.mark.column) == (5, 12)
    assert "Jw5p" not in repr(value) and "Jw5p" not in repr(tree)
    assert not at(tree, ("gateways", "acme", "addresses", 0)).sealed


def test_a_stranger_reads_it(sealed):
    assert len(list(filter(str.strip, Path(stranger.__file__).read_text().splitlines()))) <= 60
    found = dict(stranger.read(sealed, PASSWORD))
    assert found[("keys", "ab", "value")] == "su7XkQ2mZr94TbnLe"
    assert found[("custom", "nothing")] == "n"
    assert {".".join(path): (text[0], text[1:]) for path, text in found.items()} == values(sealed)


def test_crlf_and_anchors_stay():
    text = "keys:\r\n  a: {value: &k abcdefgh}\r\n  b: {value: *k}\r\n"
    again = seal(text)
    assert again.startswith("keys:\r\n  a: {value: &k vos1.")
    assert decrypt(opened(again), marked=False) == text


def test_what_a_secret_means_must_be_clear():
    with pytest.raises(InputError) as failed:
        seal("keys:\n  a: {value: 0123}\n")
    assert [(p.rule, p.mark.line) for p in failed.value.problems] == [("yaml-unquoted-digits", 2)]
    assert "0123" not in str(failed.value.problems)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TYPED = st.one_of(
    TEXTS.map(string),
    st.integers(-(10**17), 10**17).map(lambda n: Typed("i", Secret(str(n)))),
    st.sampled_from([Typed("b", Secret("true")), Typed("b", Secret("false")), Typed("n", Secret(""))]),
)


@settings(deadline=None)
@given(TYPED)
def test_values_survive_packing(value):
    data = pack(value)
    assert len(data) % 32 == 0
    assert unpack(data) == value


@settings(max_examples=60, deadline=None)
@given(st.lists(TYPED, min_size=1, max_size=4), st.booleans())
def test_round_trip(found, flow):
    written = [
        f"!secret {literal(value, 4) or render(value)}" if not flow else f"!secret {render(value)}"
        for value in found
    ]
    text = "custom:\n" + (
        "  {" + ", ".join(f"v{n}: {value}" for n, value in enumerate(written)) + "}\n"
        if flow
        else "".join(f"  v{n}: {value}\n" for n, value in enumerate(written))
    )
    again = seal(text)
    got = opened(again)
    assert [got.values["custom", f"v{n}"] for n in range(len(found))] == found
    plain_text = decrypt(got, marked=True)
    assert encrypt(parse(plain_text, "f"), new_envelope((OPERATORS,))).count("vos1.") == len(found)
    third = encrypt(parse(plain_text, "f"), envelope_of(got), old=got)
    assert parse(third, "f").body == got.document.body


def test_an_unopened_password_is_stretched_once(sealed, monkeypatch):
    calls = []
    monkeypatch.setattr("vosctl.vault.keys.stretch", lambda *a: calls.append(a) or b"\0" * 32)
    given_keys = Keys(passwords=lambda: [Secret("wrong password")])
    for _ in range(3):
        with pytest.raises(InputError):
            opened(sealed, given=given_keys)
    assert len(calls) == 1
