"""The compiled file says of every number at every moment what the way of one call says, and locks what the guard locks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_samples import MARK

from vosctl.errors import VosctlError
from vosctl.rates import guard as the_guard
from vosctl.rates.guard import WORDS, Verdict
from vosctl.rates.route import Seller, Vendor, route
from vosctl.rates.routing.native import library
from vosctl.rates.routing.reader import REASONS, UNIT, RouteFile, RouteFileError
from vosctl.rates.routing.tables import Source, compile_tables
from vosctl.rates.routing.terms import PackedRows, encoded
from vosctl.rates.routing.write import write
from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck, Rate, in_force
from vosctl.site.routing import OPEN, GatewayRouting, ProfitGuard, Quality, Routing

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
MOMENTS = [NOON - timedelta(days=9), NOON, NOON + timedelta(days=9)]
WORK = Calendar("work", "Europe/Berlin", {"peak": (Window(frozenset(range(5)), 480, 1200),),
                                          "night": (Window(frozenset(range(8)), 1320, 360),)},
                frozenset({NOON.date()}))  # fmt: skip
PREFIXES = st.text(alphabet="012", max_size=3)
MONEY = st.sampled_from(["0", "0.01", "0.0100", "0.012", "0.015", "0.02", "0.00000003"]).map(Decimal)
WORTHS = st.sampled_from(["1", "0.5", "0.923456789"]).map(Decimal)
GUARDS = st.builds(
    ProfitGuard,
    st.none() | st.sampled_from(["0", "0.005", "-0.005", "0.0001", "25"]).map(Decimal),
    st.sampled_from(["second", "minute", "percent"]),
    st.none() | MONEY,
    st.sampled_from([None, True, False]),
)


@st.composite
def rates(draw):
    return Rate(
        draw(PREFIXES), draw(MONEY), draw(st.sampled_from([1, 6, 60])), draw(MONEY), draw(st.sampled_from([0, 30])),
        draw(MONEY), MARK, blocked=draw(st.sampled_from([False, False, True])),
        section=draw(st.sampled_from(["", "", "peak", "night"])),
        valid_from=draw(st.sampled_from([None, None, *MOMENTS])),
        valid_until=draw(st.sampled_from([None, None, *MOMENTS])),
    )  # fmt: skip


@st.composite
def decks(draw, name):
    entries = tuple(draw(st.lists(rates(), max_size=7)))
    return Deck(name, in_force(entries, NOON, ""), MARK, entries, calendar=WORK)


@st.composite
def vendors(draw, name):
    hours = Calendar("h", "Asia/Tokyo", {OPEN: (Window(frozenset({0, 1, 2}), 1200, 300),)})
    own = GatewayRouting(draw(st.integers(0, 1)), hours=draw(st.sampled_from([None, hours])))
    deck, via = draw(st.none() | decks(name)), draw(st.sampled_from([None, "trunk"]))
    return Vendor(name, via, deck, draw(st.none() | GUARDS), own, draw(WORTHS))


@st.composite
def sources(draw):
    measured = st.dictionaries(PREFIXES, st.builds(Quality, st.sampled_from([Decimal(20), Decimal(50)]),
                                                   st.sampled_from([Decimal(60), Decimal(90)])), max_size=3)  # fmt: skip
    routing = Routing(
        draw(st.sampled_from(["cost", "quality"])),
        draw(st.sampled_from([Decimal(0), Decimal(30)])),
        statistics=draw(st.dictionaries(st.sampled_from("abc"), measured, max_size=2)),
        groups=draw(st.dictionaries(st.just("gold"), GUARDS, max_size=1)),
        prefixes=draw(st.dictionaries(PREFIXES, GUARDS, max_size=2)),
    )
    sellers = [Seller(draw(decks(name)), draw(WORTHS), routing) for name in ("gold", "silver")]
    return Source("EUR", tuple(sellers), tuple(draw(vendors(name)) for name in "abc"), routing)


def said(found):
    """What a route of either kind says, in the same words."""
    return found and (
        found.prefix,
        [(each.vendor.name, each.vendor.via, each.tied, each.rate is not None) for each in found.offers],
    )


@settings(max_examples=60, deadline=None)
@given(
    sources(),
    st.lists(st.text(alphabet="012", min_size=1, max_size=5), min_size=3, max_size=8),
    st.integers(0, 10**6),
)
def test_a_file_says_what_the_way_of_one_call_says(source, numbers, minutes):
    file = RouteFile(write(compile_tables(source)))
    when = NOON - timedelta(days=15) + timedelta(minutes=minutes % 43000)
    for seller in source.sellers:
        for number in numbers:
            found, wanted = (
                file.find(seller.deck.name, number, when),
                route(seller, source.vendors, number, when),
            )
            assert (found is None) == (wanted is None)
            if found is None or wanted is None:
                continue
            assert said(found)[1] == said(wanted)[1]
            assert Decimal(found.rate.rate) / UNIT == wanted.rate.rate
            for ours, theirs in zip(found.offers, wanted.offers, strict=True):
                assert bool(ours.reason) == bool(theirs.locked), (ours, theirs)
                assert ours.rate is None or Decimal(ours.rate.rate) / UNIT == theirs.rate.rate
                assert file.is_open(ours.vendor, when) == theirs.open


@settings(max_examples=30, deadline=None)
@given(sources())
def test_c_and_python_write_the_same_bytes(source):
    assert library() is not None
    assert write(compile_tables(source)) == write(compile_tables(source, native=False), native=False)


def small(**changes):
    row = Rate("44", Decimal("0.02"), 1, Decimal(0), 0, Decimal(0), MARK)
    cheap = Rate("44", Decimal("0.01"), 1, Decimal(0), 0, Decimal(0), MARK)
    gold, deck = Deck("gold", {"44": row}, MARK), Deck("cheap", {"44": cheap}, MARK)
    guard = ProfitGuard(Decimal("0.02"), "minute", None, None)
    made = {"currency": "EUR", "sellers": (Seller(gold),), "vendors": (Vendor("v", None, deck, guard),), "routing": Routing()}  # fmt: skip
    return Source(**made | changes)


def test_one_function_decides_for_the_compiler_and_for_the_way_of_a_call(monkeypatch):
    source = small()

    def answers():
        file = RouteFile(write(compile_tables(source)))
        found = file.find("gold", "441", NOON)
        way = route(source.sellers[0], source.vendors, "441", NOON)
        return found.offers[0].reason, bool(way.offers[0].locked)

    assert answers() == (Verdict.TOO_LITTLE, True)
    monkeypatch.setattr(the_guard, "ceiling", lambda customer, guard: None)
    assert answers() == (Verdict.OPEN, False)


def test_packed_rows_are_a_decks_rows():
    rows = {"": "0.5", "4": "0.04", "44": "0.044"}
    plain = {
        key: Rate(key, Decimal(value), 6, Decimal(0), 0, Decimal(0), MARK) for key, value in rows.items()
    }
    keys = b"".join(bytes.fromhex("".join(f"{int(d) + 1:x}" for d in key).ljust(20, "0")) for key in plain)
    packed = PackedRows(keys, b"".join(encoded(row) for row in plain.values()), MARK)
    assert dict(packed) == plain
    assert packed.get("45") is None
    with pytest.raises(KeyError):
        packed["x"]
    sources = [small(sellers=(Seller(Deck("gold", each, MARK)),)) for each in (plain, packed)]
    assert write(compile_tables(sources[0])) == write(compile_tables(sources[1]))


def test_a_rate_finer_than_the_file_holds_is_refused_with_its_place():
    row = Rate("44", Decimal("0.000000001"), 1, Decimal(0), 0, Decimal(0), MARK)
    with pytest.raises(VosctlError, match=r"all.yml:1:1: prefix 44: 1E-9 has more than 8 decimals"):
        compile_tables(small(sellers=(Seller(Deck("gold", {"44": row}, MARK)),)))


def test_a_damaged_or_short_file_is_told():
    whole = write(compile_tables(small()))
    RouteFile(whole).verify()
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    with pytest.raises(RouteFileError, match="checksum"):
        RouteFile(bytes(damaged)).verify()
    for wrong, why in ((whole[:-1], "bytes"), (b"#!/bin/sh\n" * 10, "no route file"), (b"", "no route file")):
        with pytest.raises(RouteFileError, match=why):
            RouteFile(wrong)
    later = bytearray(whole)
    later[8] = 2
    with pytest.raises(RouteFileError, match="version is 2"):
        RouteFile(bytes(later))


def test_the_words_for_verdicts_are_the_files():
    assert tuple(WORDS[verdict] for verdict in Verdict) == REASONS
