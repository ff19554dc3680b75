"""Everything that is wrong with a file is an error of its own at its place; no flipped bit ever gives another value."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from vault_case import FILE, OPERATORS, keys, opened, seal, values

from vosctl.errors import InputError
from vosctl.secret import Secret
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.vault.document import parse
from vosctl.vault.keys import Keys, Version
from vosctl.vault.recipients import Recipient, Removed, new_identity
from vosctl.vault.sealing import encrypt, envelope_of
from vosctl.vault.seen import check_versions, remember_versions

LINES = seal()
ALICE = new_identity("alice's file")


def refused(text: str, given_keys: Keys | None = None) -> tuple[str, int]:
    with pytest.raises(InputError) as failed:
        opened(text, given=given_keys)
    (problem,) = failed.value.problems
    assert problem.mark.file == FILE
    assert problem.hint
    return problem.rule, problem.mark.line


def line_of(text: str, words: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if words in line)


HEAD = line_of(LINES, "vosctl_vault:")


def token(name: str) -> str:
    document = parse(LINES, FILE)
    return next(leaf.node.value for leaf in document.tokens if leaf.name == name)


@pytest.mark.parametrize(
    ("given_keys", "rule"),
    [
        (Keys(), "vault-locked"),
        (Keys(passwords=lambda: [Secret("not the password")]), "vault-password"),
        (Keys(identities=lambda: [ALICE]), "vault-not-recipient"),
    ],
)
def test_keys_that_do_not_open(given_keys, rule):
    assert refused(LINES, given_keys) == (rule, HEAD)


def test_a_removed_recipient_is_told_so():
    found = opened(LINES)
    record = Removed("alice", ALICE.public, "2026-11-01")
    text = encrypt(found.document, replace(envelope_of(found), removed=(record,)), old=found)
    with pytest.raises(InputError) as failed:
        opened(text, given=Keys(identities=lambda: [ALICE]))
    assert failed.value.problems[0].rule == "vault-removed"
    assert "alice" in failed.value.problems[0].message and "2026-11-01" in failed.value.problems[0].message


def test_a_moved_value_names_where_it_came_from():
    text = LINES.replace(token("keys.cd.value"), token("keys.ab.value"))
    with pytest.raises(InputError) as failed:
        opened(text)
    (problem,) = failed.value.problems
    assert (problem.rule, problem.mark.line, problem.path) == ("vault-moved", 5, "keys.cd.value")
    assert "keys.ab.value" in problem.message


def test_a_value_of_another_file_does_not_fit():
    other = next(leaf.node.value for leaf in parse(seal(), FILE).tokens if leaf.name == "keys.ab.value")
    assert refused(LINES.replace(token("keys.ab.value"), other)) == ("vault-moved", 3)


def test_a_renamed_key_is_a_moved_value():
    assert refused(LINES.replace("  cd:\n", "  ce:\n")) == ("vault-moved", 5)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("192.0.2.1,", "192.0.2.3,", "vault-altered"),
        ("  serial: 1", "  serial: 9", "vault-altered"),
        ('name: "operators"', 'name: "operator5"', "vault-altered"),
        ("  version: 1", "  version: 2", "vault-version"),
        ("n: 1024", "n: 16777216", "vault-cost"),
        ("p: 1,", "p: 60,", "vault-altered"),
        ("  removed: []\n", "", "vault-truncated"),
    ],
)
def test_changes_by_hand(old, new, rule):
    assert old in LINES
    text = LINES.replace(old, new, 1)
    assert refused(text)[0] == rule


def test_a_file_cut_off_anywhere_is_an_error():
    begin = LINES.index("vosctl_vault:")
    whole = values(LINES)
    first = LINES.index("vos1.") + 100
    for end in [*range(first, begin, 37), *range(begin, len(LINES) - 2, 7)]:
        with pytest.raises(InputError) as failed:
            opened(LINES[:end])
        assert failed.value.problems[0].mark.line >= 1
    assert values(LINES[:-1]) == whole  # a last line end is no content


def test_a_conflict_that_git_left():
    text = LINES.replace("  cd:\n", "<<<<<<< ours\n  cd:\n=======\n  ce:\n>>>>>>> theirs\n")
    assert refused(text)[0] == "vault-conflict"


def test_a_broken_value_token():
    assert refused(LINES.replace(token("keys.ab.value"), token("keys.ab.value")[:-9])) == ("vault-value", 3)
    swapped = token("keys.ab.value")[:-3] + "AAA"
    assert refused(LINES.replace(token("keys.ab.value"), swapped)) == ("vault-value", 3)


def test_an_older_version_than_applied(tmp_path):
    mark = parse(LINES, FILE).header_mark
    remember_versions(tmp_path, [Version("d", 5, mark)])
    remember_versions(tmp_path, [Version("d", 4, mark)])
    check_versions(tmp_path, [Version("d", 5, mark), Version("other", 1, mark)])
    with pytest.raises(InputError) as failed:
        check_versions(tmp_path, [Version("d", 4, mark)])
    assert failed.value.problems[0].rule == "vault-rolled-back"


def test_the_loader_says_what_is_missing_and_gives_nothing():
    problems = Problems()
    assert load_text(LINES, FILE, problems) is None
    (problem,) = problems.found
    assert (problem.rule, problem.mark.line) == ("vault-locked", HEAD)
    assert "--vault-password-file" in problem.hint and "operators" in problem.hint


FIRST = values(LINES)
PLAIN = {leaf.path: leaf.node.value for leaf in parse(LINES, FILE).leaves.values() if not leaf.is_token}
BYTES = LINES.encode()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(BYTES) * 8 - 1))
def test_no_flipped_bit_gives_another_value(bit):
    """Either an error, or a comment, blank or style was hit and every value is what it was."""
    data = bytearray(BYTES)
    data[bit // 8] ^= 1 << bit % 8
    try:
        text = data.decode()
        found = opened(text)
    except (InputError, UnicodeDecodeError):
        return
    if found is None:  # the header's name itself was hit, and with it every token: there are none then
        raise AssertionError("an encrypted file passed for a plain one")
    assert values(text) == FIRST
    document = parse(text, FILE)
    assert {leaf.path: leaf.node.value for leaf in document.leaves.values() if not leaf.is_token} == PLAIN


def test_hostile_costs_are_refused_before_they_are_paid():
    for cost in ("n: 1048576, r: 8", "n: 3, r: 8", "n: 131072, r: 64", "n: 0, r: 8"):
        text = re.sub(r"n: 1024, r: 8", cost, LINES)
        assert refused(text, Keys(passwords=lambda: [Secret("x")]))[0] == "vault-cost"


def test_recipients_are_typed_without_slips():
    public = Recipient("a", ALICE.public).text
    text = LINES.replace(OPERATORS.text, public[:-1] + ("A" if public[-1] != "A" else "B"))
    assert refused(text)[0] == "vault-header"
    assert keys().identities
