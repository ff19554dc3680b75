from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.site.inventory.ranges import MAX_HOSTS, expand


@pytest.mark.parametrize(
    ("text", "names", "port"),
    [
        ("edge-a", ["edge-a"], None),
        ("edge-a:2222", ["edge-a"], 2222),
        ("edge-[01:03]", ["edge-01", "edge-02", "edge-03"], None),
        ("edge-[8:11]", ["edge-8", "edge-9", "edge-10", "edge-11"], None),
        (
            "edge-[098:101].example.net:22",
            [f"edge-{n}.example.net" for n in ("098", "099", "100", "101")],
            22,
        ),
        ("pop-[a:c]", ["pop-a", "pop-b", "pop-c"], None),
        ("gw[0:10:5]", ["gw0", "gw5", "gw10"], None),
        ("gw[:2]", ["gw0", "gw1", "gw2"], None),
        ("r[a:b]-[1:2]", ["ra-1", "ra-2", "rb-1", "rb-2"], None),
        ("[y:z]", ["y", "z"], None),
        ("192.0.2.[1:2]", ["192.0.2.1", "192.0.2.2"], None),
        ("2001:db8::1", ["2001:db8::1"], None),
        ("::1", ["::1"], None),
        ("[2001:db8::1]:2222", ["2001:db8::1"], 2222),
    ],
)
def test_names_ranges_and_ports(text: str, names: list[str], port: int | None) -> None:
    assert expand(text) == (tuple(names), port)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("edge-[20:01]", "backwards"),
        ("pop-[c:a]", "backwards"),
        ("edge-[01:100]", "same number of digits"),
        ("edge-[a:10]", "two numbers or two letters"),
        ("edge-[aa:bb]", "two numbers or two letters"),
        ("edge-[1:9:0]", "step"),
        ("edge-[1:]", "no host name"),
        ("edge-[1:2", "no host name"),
        ("edge a", "no host name"),
        ("", "no host name"),
        ("-x", "no host name"),
        ("edge-a:0", "ports are 1 to 65535"),
        ("edge-a:70000", "ports are 1 to 65535"),
        ("edge-[1:999999]", "more than"),
        ("edge-[1:9999999999999]", "more than"),
        ("[1:500][1:500][1:500][1:500]", "more than"),
    ],
)
def test_wrong_ranges_say_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        expand(text)


@given(st.text(alphabet="ab01:[]-.x ", max_size=30) | st.text(max_size=20))
def test_any_text_expands_within_bounds_or_says_why(text: str) -> None:
    try:
        names, port = expand(text)
    except ValueError as error:
        assert str(error)
    else:
        assert 0 < len(names) <= MAX_HOSTS
        assert port is None or 0 < port < 65536


@given(st.integers(0, 99999), st.integers(0, 300), st.integers(1, 9))
def test_a_range_is_what_range_says(first: int, length: int, step: int) -> None:
    names, _ = expand(f"h[{first}:{first + length}:{step}]")
    assert names == tuple(f"h{number}" for number in range(first, first + length + 1, step))
