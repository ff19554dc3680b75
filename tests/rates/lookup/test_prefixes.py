"""The lookup in C and in Python against the definition: of all prefixes that a number begins with, the longest."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.rates.lookup import Prefixes
from vosctl.rates.lookup.keys import KEY, NONE, digits, pack, unpack
from vosctl.rates.lookup.native import library

FEW = st.text(alphabet="0129", max_size=22)
PREFIXES = st.sets(st.text(alphabet="0129", max_size=20), max_size=40)


@pytest.fixture(params=["c", "python"])
def native(request):
    if request.param == "c" and library() is None:
        if os.environ.get("VOSCTL_REQUIRE_REAL"):
            pytest.fail("not compiled: python -m vosctl.rates.lookup.build")
        pytest.skip("not compiled: python -m vosctl.rates.lookup.build")
    return request.param == "c"


def defined(prefixes, number):
    fitting = [prefix for prefix in prefixes if digits(number)[:20].startswith(prefix)]
    return max(fitting, key=len) if fitting else None


def answers(table, numbers):
    return [None if at == NONE else table[at] for at in table.find(numbers)]


@given(prefixes=PREFIXES, numbers=st.lists(FEW, max_size=20))
def test_both_find_what_the_definition_says(prefixes, numbers):
    numbers += [prefix + "7" for prefix in prefixes]
    expected = [defined(prefixes, number) for number in numbers]
    fast, slow = Prefixes(prefixes), Prefixes(prefixes, native=False)
    assert answers(fast, numbers) == answers(slow, numbers) == expected
    assert fast.parents == slow.parents
    keys = b"".join(pack(number[:20]) for number in numbers)
    assert fast.find_keys(keys) == slow.find_keys(keys) == slow.find(numbers)


@given(st.lists(st.text(max_size=6), max_size=8))
def test_any_text_is_read_alike(numbers):
    prefixes = ["", "1", "12", "3"]
    assert Prefixes(prefixes).find(numbers) == Prefixes(prefixes, native=False).find(numbers)


def test_numbers_as_people_write_them(native):
    table = Prefixes(["44", "447", "49", "4"], native=native)
    numbers = ["+447700900123", "44 20 7946 0000", "0049", "", "+", "4\n4", "49"]
    assert answers(table, numbers) == ["447", "44", None, None, None, "4", "49"]


def test_prefixes_on_both_sides_of_the_sixteenth_digit(native):
    long = [f"{'1' * length}" for length in range(1, 21)]
    table = Prefixes(long, native=native)
    assert answers(table, [*long, "1" * 25]) == [*long, "1" * 20]


def test_a_hundred_thousand_random_prefixes(native):
    seeded = random.Random(20)
    prefixes = {str(seeded.randrange(10 ** seeded.randint(1, 9))) for _ in range(100_000)}
    numbers = [str(seeded.randrange(10**11, 10**12)) for _ in range(5_000)]
    table = Prefixes(prefixes, native=native)
    expected = [
        next((number[:length] for length in range(12, -1, -1) if number[:length] in prefixes), None)
        for number in numbers
    ]
    assert answers(table, numbers) == expected


def test_no_prefixes_at_all(native):
    assert list(Prefixes([], native=native).find(["44"])) == [NONE]
    assert list(Prefixes([""], native=native).find(["44", ""])) == [0, 0]


@pytest.mark.parametrize("keys", [pack("2") + pack("1"), pack("1") * 2])
def test_keys_out_of_order_are_refused(native, keys):
    with pytest.raises(ValueError, match="key 1 is not above"):
        Prefixes(keys=keys, native=native)


def test_a_key_too_short_is_refused(native):
    with pytest.raises(ValueError, match="no keys of 10 bytes"):
        Prefixes(keys=b"123", native=native)


@pytest.mark.parametrize("text", ["1" * 21, "+44", "4 4", "٣"])
def test_what_is_no_prefix_has_no_key(text):
    with pytest.raises(ValueError, match="is no prefix"):
        pack(text)


@given(st.lists(st.text(alphabet="0123456789", max_size=20), min_size=2, max_size=2))
def test_keys_sort_as_digits_do(pair):
    one, two = pair
    assert (pack(one) < pack(two)) == (one < two)
    assert unpack(pack(one)) == one
    assert len(pack(one)) == KEY
