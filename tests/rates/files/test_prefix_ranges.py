"""A range of prefixes, spread: it covers exactly the numbers of the range, with as few prefixes as can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.rates.files.ranges import cover

ENDS = st.integers(1, 4).flatmap(
    lambda digits: st.tuples(
        *[st.text("0123456789", min_size=digits, max_size=digits)] * 2,
    )
)


def numbers(prefix: str, digits: int) -> set[int]:
    free = 10 ** (digits - len(prefix))
    start = int(prefix or "0") * free
    return set(range(start, start + free))


@given(ENDS)
def test_the_prefixes_cover_exactly_the_range(ends: tuple[str, str]):
    first, last = sorted(ends)
    found = cover(first, last)
    covered = [number for prefix in found for number in numbers(prefix, len(first))]
    assert sorted(covered) == list(range(int(first), int(last) + 1)), "each number once"
    assert list(found) == sorted(found)


@given(ENDS)
def test_no_prefix_could_be_saved(ends: tuple[str, str]):
    """The set is smallest: any prefix one digit shorter holds a number outside of the range."""
    first, last = sorted(ends)
    inside = set(range(int(first), int(last) + 1))
    for prefix in cover(first, last):
        assert not prefix or not numbers(prefix[:-1], len(first)) <= inside


@pytest.mark.parametrize(
    ("first", "last", "prefixes"),
    [
        ("4470", "4475", ("4470", "4471", "4472", "4473", "4474", "4475")),
        ("447000", "447599", ("4470", "4471", "4472", "4473", "4474", "4475")),
        ("440", "449", ("44",)),
        ("0", "9", ("",)),
        ("1998", "2001", ("1998", "1999", "2000", "2001")),
        ("190", "309", ("19", "2", "30")),
    ],
)
def test_ranges_worked_by_hand(first: str, last: str, prefixes: tuple[str, ...]):
    assert cover(first, last) == prefixes


@pytest.mark.parametrize(("first", "last"), [("45", "44"), ("4", "44")])
def test_what_is_no_range(first: str, last: str):
    with pytest.raises(ValueError, match="no range"):
        cover(first, last)
