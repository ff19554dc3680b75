"""Single values: what they become, and what is said of those that are wrong."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.site.model import PortRange
from vosctl.site.objects import scalars
from vosctl.site.objects.codecs import fits
from vosctl.site.objects.fields import EMPTY, Fields, Workshop
from vosctl.site.objects.keys import build_key
from vosctl.site.problems import Problems
from vosctl.site.suggest import closest, listed
from vosctl.site.text.lint import resolve
from vosctl.site.tree import Mapping, Mark, Scalar

MARK = Mark("all.yml", 1, 1)


def scalar(text: str) -> Scalar:
    plain = resolve(text)
    return Scalar(plain.value, text, False, MARK, plain.number)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (scalars.parse_network, "192.0.2.10", ip_network("192.0.2.10/32")),
        (scalars.parse_network, "2001:db8::/64", ip_network("2001:db8::/64")),
        (scalars.parse_peer, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (scalars.parse_address, "2001:db8::1", ip_address("2001:db8::1")),
        (scalars.parse_duration, "30", timedelta(seconds=30)),
        (scalars.parse_duration, "30s", timedelta(seconds=30)),
        (scalars.parse_duration, "5m", timedelta(minutes=5)),
        (scalars.parse_duration, "2h", timedelta(hours=2)),
        (scalars.parse_money, "0.0125", Decimal("0.0125")),
        (scalars.parse_money, "0", Decimal(0)),
        (scalars.parse_signed_money, "-0.5", Decimal("-0.5")),
        (scalars.parse_dscp, "EF", 46),
        (scalars.parse_dscp, "ef", 46),
        (scalars.parse_dscp, "CS3", 24),
        (scalars.parse_dscp, "AF41", 34),
        (scalars.parse_dscp, "63", 63),
        (scalars.parse_dscp, "0x2e", 46),
        (scalars.parse_ports, "16384-32767", PortRange(16384, 32767)),
        (scalars.parse_ports, "5000-5000", PortRange(5000, 5000)),
        (scalars.parse_endpoint, "127.0.0.1:2223", (ip_address("127.0.0.1"), 2223)),
        (scalars.parse_endpoint, "[::1]:2223", (ip_address("::1"), 2223)),
    ],
)
def test_right(parse, text, value):
    assert parse(scalar(text)) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (scalars.parse_network, "192.0.2.1/24", "neither an address nor a network"),
        (scalars.parse_peer, "0.0.0.0/1", "too much of the internet"),
        (scalars.parse_duration, "1 h", "not a length of time"),
        (scalars.parse_duration, "0", "longer than nothing"),
        (scalars.parse_duration, "\u0663s", "not a length of time"),
        (scalars.parse_money, "1e3", "not an amount"),
        (scalars.parse_money, "-1", "negative"),
        (scalars.parse_money, "NaN", "not an amount"),
        (scalars.parse_dscp, "184", "184 is the ToS byte of EF, DSCP 46"),
        (scalars.parse_dscp, "0xb8", "0xb8 (184) is the ToS byte of EF, DSCP 46"),
        (scalars.parse_dscp, "0xa0", "0xa0 (160) is the ToS byte of CS5, DSCP 40"),
        (scalars.parse_dscp, "96", "96 is the ToS byte of CS3, DSCP 24"),
        (scalars.parse_dscp, "256", "256 is no DSCP"),
        (scalars.parse_dscp, "-1", "-1 is no DSCP"),
        (scalars.parse_ports, "0-10", "no range of ports"),
        (scalars.parse_ports, "10-70000", "no range of ports"),
        (scalars.parse_endpoint, "localhost:2223", "not an address and a port"),
        (scalars.parse_endpoint, "::1", "not an address and a port"),
    ],
)
def test_wrong(parse, text, words):
    with pytest.raises(scalars.WrongValueError) as caught:
        parse(scalar(text))
    assert words in caught.value.message
    assert caught.value.hint or "no DSCP" in words


PARSERS = (scalars.parse_network, scalars.parse_peer, scalars.parse_address, scalars.parse_duration, scalars.parse_money,
           scalars.parse_dscp, scalars.parse_ports, scalars.parse_endpoint)  # fmt: skip


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str):
    for parse in PARSERS:
        try:
            parse(Scalar(text, text, True, MARK))
        except scalars.WrongValueError as wrong:
            assert wrong.rule
            assert wrong.message


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=40))
def test_what_is_said_of_a_key_never_holds_the_key(value: str):
    problems = Problems()
    tree = Mapping({"value": Scalar(value, value, True, MARK)}, {"value": MARK}, MARK)
    built = build_key("k", Fields(tree, "keys.k", problems), MARK)
    assert built is not None
    key, facts = built
    assert key.value.reveal() == value
    assert facts.length == len(value)
    if len(value) > 3:
        assert all(value not in f"{p.message} {p.hint}" for p in problems.found)
    assert bool(problems.found) == (not (value.isascii() and value.isalnum()))


def test_codecs_fit_packets_of_whole_frames():
    assert fits("G729", 20)
    assert fits("G723", 30)
    assert not fits("G723", 20)
    assert not fits("iLBC", 10)
    assert not fits("nonsense", 20)


def test_letters_that_changed_places_are_the_likeliest_slip():
    assert closest("prot", ["root", "port", "ports"]) == "port"
    assert closest("MUST-ON", ["must_on", "on"]) == "must_on"
    assert closest("zzz", ["port"]) is None


def test_long_lists_are_cut():
    assert listed(["b", "a"]) == "a, b"
    assert listed(map(str, range(10, 20)), most=3) == "10, 11, 12 and 7 more"


def test_workshop_makes_equal_sources_once():
    shop = Workshop(Problems(), None)  # type: ignore[arg-type]
    made = [shop.once("x", (EMPTY,), object, values=(1,)) for _ in range(2)]
    assert made[0] is made[1]
    assert shop.once("x", (EMPTY,), object, values=(2,)) is not made[0]
    assert shop.once("y", (EMPTY,), object, values=(1,)) is not made[0]
