from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.site.suggest import closest, did_you_mean, listed


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("jiter", "jitter"),
        ("JITTER", "jitter"),
        ("max-minute-rate", "max_minute_rate"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_closest_name(word: str, match: str | None) -> None:
    assert closest(word, ["media", "jitter", "max_minute_rate"]) == match


def test_the_words_fit_behind_a_message() -> None:
    assert did_you_mean("jiter", ["jitter"]) == " (did you mean 'jitter'?)"
    assert did_you_mean("jiter", []) == ""


def test_long_lists_are_cut() -> None:
    assert listed(["b", "a"]) == "a, b"
    assert listed([str(number) for number in range(10)], most=3) == "0, 1, 2 and 7 more"


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_a_suggestion_is_one_of_the_names(word: str, names: list[str]) -> None:
    assert closest(word, names) in {None, *names}
