"""Two branches of one file become one, leaf by leaf; what both changed is a conflict, and no side's order matters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from vault_case import FILE, OPERATORS, keys, opened, values

from vosctl.errors import InputError
from vosctl.vault.document import parse
from vosctl.vault.keys import Keys
from vosctl.vault.merge import Merged, merge
from vosctl.vault.recipients import Recipient, new_identity
from vosctl.vault.sealing import decrypt, encrypt, envelope_of, new_envelope, rekeyed

PLAIN = """\
keys:
  a: {value: "one"}
  b: {value: "two"}
  c: {value: "three"}
media:
  ptime: 20 # milliseconds
  codecs:
    - PCMA
    - PCMU
"""
BASE = encrypt(parse(PLAIN, FILE), new_envelope((OPERATORS,)))


def branch(*changes: tuple[str, str], rekey: bool = False, base: str = BASE) -> str:
    found = opened(base)
    text = decrypt(found, marked=True)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    envelope = envelope_of(found)
    return encrypt(parse(text, FILE), rekeyed(envelope) if rekey else envelope, old=found)


def merged(ours: str, theirs: str, base: str = BASE) -> Merged:
    return merge(base, ours, theirs, FILE, keys())


def secrets(text: str) -> dict[str, str]:
    return {name: value for name, (_, value) in values(text).items()}


@pytest.mark.parametrize("rekey", [(False, False), (True, False), (False, True), (True, True)])
def test_neighbouring_values_changed_in_two_branches(rekey):
    ours = branch(("one", "ONE"), rekey=rekey[0])
    theirs = branch(("two", "TWO"), ("PCMU", "G729"), rekey=rekey[1])
    result = merged(ours, theirs)
    assert result.conflicts == ()
    assert secrets(result.text) == {"keys.a.value": "ONE", "keys.b.value": "TWO", "keys.c.value": "three"}
    assert "- G729" in result.text and "# milliseconds" in result.text
    if rekey == (True, False):
        assert opened(result.text).key.raw == opened(ours).key.raw
    if rekey == (True, True):
        assert opened(result.text).key.raw not in (opened(ours).key.raw, opened(theirs).key.raw)


def test_entries_added_at_one_place():
    last = "  c: {value: !secret three}\n"
    ours = branch((last, last + "  d: {value: dddd}\n"))
    theirs = branch((last, last + "  e: {value: eeee}\n"))
    result = merged(ours, theirs)
    assert result.conflicts == ()
    assert {"keys.d.value", "keys.e.value"} < set(secrets(result.text))


def test_removed_here_and_left_alone_there():
    result = merged(branch(("  b: {value: !secret two}\n", "")), branch(("ptime: 20", "ptime: 30")))
    assert result.conflicts == ()
    assert "keys.b.value" not in secrets(result.text)
    assert "ptime: 30" in result.text


def test_one_value_changed_in_both_is_marked_without_showing_it():
    ours, theirs = branch(("one", "mine1")), branch(("one", "other1"), ("two", "TWO"), rekey=True)
    result = merged(ours, theirs)
    assert result.conflicts == ("keys.a.value",)
    for words in ("<<<<<<< ours", "=======", ">>>>>>> theirs", "vosctl_vault:"):
        assert words in result.text
    assert "mine1" not in result.text and "other1" not in result.text
    with pytest.raises(InputError) as failed:
        opened(result.text)
    assert failed.value.problems[0].rule == "vault-conflict"
    kept = "\n".join(
        line for n, line in enumerate(result.text.split("\n")) if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))
        and n != result.text.split("\n").index("=======") + 1
    )  # fmt: skip
    with pytest.raises(InputError) as failed:
        opened(kept)
    assert failed.value.problems[0].rule == "vault-altered"
    again = opened(kept, altered=True)
    resealed = encrypt(again.document, envelope_of(again), old=again)
    assert secrets(resealed) == {"keys.a.value": "mine1", "keys.b.value": "TWO", "keys.c.value": "three"}


def test_recipients_added_and_removed():
    alice, bob = (Recipient(name, new_identity(name).public) for name in ("alice", "bob"))
    found = opened(BASE)
    base = encrypt(found.document, replace(envelope_of(found), recipients=(OPERATORS, bob)), old=found)
    begun = opened(base)
    without_bob = encrypt(
        begun.document, replace(rekeyed(envelope_of(begun)), recipients=(OPERATORS,)), old=begun
    )
    with_alice = encrypt(
        begun.document, replace(envelope_of(begun), recipients=(OPERATORS, bob, alice)), old=begun
    )
    for ours, theirs in ((without_bob, with_alice), (with_alice, without_bob)):
        result = merged(ours, theirs, base)
        header = opened(result.text).header
        assert {each.name for each in header.recipients} == {"operators", "alice"}
        assert header.key == opened(without_bob).header.key


def test_files_without_secrets_are_merged_as_git_does():
    assert merge("a: 1\n\nb: 1\n", "a: 2\n\nb: 1\n", "a: 1\n\nb: 2\n", "f", Keys()) == Merged(
        "a: 2\n\nb: 2\n", ()
    )


VALUE = st.sampled_from(["one", "two", "x y", "7"])
SIDE = st.dictionaries(st.sampled_from("abcde"), VALUE, min_size=1)


def text_of(found: dict[str, str]) -> str:
    return "keys:\n" + "".join(f'  {name}:\n    value: !secret "{found[name]}"\n' for name in sorted(found))


def side(found: dict[str, str], base: str, *, rekey: bool) -> str:
    before = opened(base)
    envelope = envelope_of(before)
    return encrypt(parse(text_of(found), FILE), rekeyed(envelope) if rekey else envelope, old=before)


@settings(max_examples=40, deadline=None)
@given(SIDE, SIDE, SIDE, st.booleans(), st.booleans())
def test_merging_commutes_and_never_invents(base, ours, theirs, first, second):
    begun = encrypt(parse(text_of(base), FILE), new_envelope((OPERATORS,)))
    mine, other = side(ours, begun, rekey=first), side(theirs, begun, rekey=second)
    one, two = merged(mine, other, begun), merged(other, mine, begun)
    assert bool(one.conflicts) == bool(two.conflicts)
    clash = [
        k
        for k in {*ours, *theirs}
        if ours.get(k) != theirs.get(k) and base.get(k) not in (ours.get(k), theirs.get(k))
    ]
    if clash:
        assert one.conflicts
    if not one.conflicts:
        assert secrets(one.text) == secrets(two.text)
        for name, value in secrets(one.text).items():
            key = name.split(".")[1]
            assert value in (ours.get(key), theirs.get(key))
