"""Bencode: what is encoded decodes to itself, foreign bytes survive, and bounds hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.relay.control import bencode

TEXT = st.binary(max_size=64).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
VALUES = st.recursive(
    st.one_of(st.integers(-(10**18), 10**18), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXT, inner, max_size=5)),
    max_leaves=30,
)


@given(VALUES)
def test_what_is_encoded_decodes_to_itself(value):
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data):
    try:
        value = bencode.decode(data)
    except bencode.BencodeError:
        return
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=2000))
def test_any_string_of_bytes_survives(raw):
    wire = b"%d:%s" % (len(raw), raw)
    assert bencode.encode(bencode.decode(wire)) == wire


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"d7:command4:pinge", {"command": "ping"}),
        (b"d1:b1:x1:a1:ye", {"b": "x", "a": "y"}),
        (b"li-42ei0ee", [-42, 0]),
        (b"d7:command4:pinge\n", {"command": "ping"}),
        (b"0:", ""),
    ],
)
def test_good(wire, value):
    assert bencode.decode(wire) == value


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"x",
        b"d",
        b"l",
        b"i",
        b"ie",
        b"i-e",
        b"i1",
        b"i--1e",
        b"i" + b"9" * 40 + b"e",
        b"5:abc",
        b"99999999999999999999:a",
        b"d7:commande",
        b"di1e1:ae",
        b"d1:a1:be trailing",
        b"l" * 5000 + b"e" * 5000,
        b"l" + b"i1e" * 5000 + b"e",
        b"d" + b"1:a" * 3,
    ],
)
def test_bad(wire):
    with pytest.raises(bencode.BencodeError):
        bencode.decode(wire)


def test_nothing_but_the_four_kinds_is_encoded():
    for value in (True, None, 1.5, b"raw"):
        with pytest.raises(TypeError):
            bencode.encode(value)
