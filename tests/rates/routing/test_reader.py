"""The reader alone: choices by share and weight, rewriting, hours; bulk lookups; the layout as the document says it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from site_samples import MARK, deck, rate

from vosctl.compile.memo import Memo
from vosctl.compile.routes import files
from vosctl.rates.lookup.keys import NONE
from vosctl.rates.route import Seller, Vendor
from vosctl.rates.routing import lookup
from vosctl.rates.routing import reader as reading
from vosctl.rates.routing.lookup import RouteTables
from vosctl.rates.routing.native import library
from vosctl.rates.routing.reader import RouteFile
from vosctl.rates.routing.tables import Source, compile_tables
from vosctl.rates.routing.write import write
from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck
from vosctl.site.read import SiteOptions, read_site
from vosctl.site.routing import OPEN, GatewayRouting, Routing

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
NIGHT = Calendar("hours", "UTC", {OPEN: (Window(frozenset(range(8)), 1320, 360),)})


def vendor(name, price="0.01", **routing):
    return Vendor(name, None, deck(name, p44=price), None, GatewayRouting(**routing))


def content(*vendors, gold=None):
    sellers = (Seller(gold or deck("gold", p44="0.05", p447="0.06")),)
    return write(compile_tables(Source("EUR", sellers, vendors, Routing())))


def firsts(file, calls=4000):
    draw = random.Random(7).random
    way = file.find("gold", "+44123", NOON)
    return Counter(file.choose(way, NOON, draw)[0].name for _ in range(calls))


def test_weights_decide_between_equal_vendors_and_0_comes_last():
    file = RouteFile(content(vendor("a", weight=3), vendor("b"), vendor("c", weight=0)))
    found = firsts(file)
    assert found["c"] == 0
    assert 2850 < found["a"] < 3150
    order = file.choose(file.find("gold", "44", NOON), NOON, random.Random(1).random)
    assert [each.name for each in order][-1] == "c"


def test_shares_go_before_cost_within_a_priority_and_failover_keeps_everybody():
    file = RouteFile(
        content(vendor("a"), vendor("dear", "0.04", share=25), vendor("last", priority=1, share=100))
    )
    found = firsts(file)
    assert 900 < found["dear"] < 1100
    assert found["a"] + found["dear"] == 4000
    order = file.choose(file.find("gold", "44", NOON), NOON, lambda: 0.1)
    assert [each.name for each in order] == ["dear", "a", "last"]


def test_a_vendor_outside_its_hours_is_left_out():
    file = RouteFile(content(vendor("a", hours=NIGHT), vendor("b", "0.02")))
    way = file.find("gold", "44", NOON)
    assert [each.name for each in file.choose(way, NOON, lambda: 0.0)] == ["b"]
    assert [each.name for each in file.choose(way, NOON.replace(hour=23), lambda: 0.0)] == ["a", "b"]


def test_the_longest_rule_rewrites():
    file = RouteFile(content(vendor("a", rewrite={"": "00", "44": "0044", "447": ""})))
    (own,) = file.vendors
    assert [file.dial(own, number) for number in ("441", "4471", "33")] == ["00441", "1", "0033"]


@pytest.mark.parametrize("compiled", [True, False])
def test_bulk_lookups_say_what_single_ones_say(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(lookup, "library", lambda: None)
    assert library() is not None
    dated = Deck("gold", {}, MARK, (rate("44", "0.05"), rate("447", "0.06")), calendar=None)
    file = RouteTables(content(vendor("a"), gold=dated))
    numbers = ["44", "+44771", "441", "33", "", "4"]
    found = file.find_all("gold", numbers, NOON)
    for number, cell in zip(numbers, found, strict=True):
        single = file.find("gold", number, NOON)
        assert (cell == NONE) == (single is None), number
        assert single is None or file.route(cell, 0).rate == single.rate


def test_the_header_is_as_documented():
    whole = content(vendor("a"), vendor("b"))

    def number(at, size):
        return int.from_bytes(whole[at : at + size], "little")

    assert whole[:8] == b"VOSROUTE"
    assert (number(8, 2), number(10, 2), number(16, 8)) == (1, 64, len(whole))
    assert [number(at, 4) for at in (24, 28, 32, 36, 40, 44)] == [2, 2, 1, 1, 0, 0]
    assert whole[52:64] == b"EUR" + bytes(9)
    sections = {}
    for place in range(number(48, 4)):
        at = 64 + 24 * place
        sections[whole[at : at + 4].decode()] = tuple(
            number(at + more, size) for more, size in ((4, 4), (8, 8), (16, 8))
        )
    count, offset, length = sections["KEYS"]
    assert (count, length, offset % 8) == (2, 20, 0)
    assert whole[offset : offset + length].hex() == "55" + "0" * 18 + "558" + "0" * 17
    documented = Path(__file__).parents[3].joinpath("docs/route-file.md").read_text()
    for name, (records, _, length) in sections.items():
        size = next(
            line.split("|")[2].strip() for line in documented.splitlines() if line.startswith(f"| `{name}`")
        )
        assert length == records * int(size), name


def test_the_reader_needs_nothing_but_the_standard_library(tmp_path):
    file, alone = tmp_path / "routes.bin", tmp_path / "reader.py"
    file.write_bytes(content(vendor("a")))
    alone.write_bytes(Path(reading.__file__).read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import reader\n"
        "from datetime import datetime, timezone\n"
        f"file = reader.RouteFile({str(file)!r}); file.verify()\n"
        "way = file.find('gold', '441', datetime.now(timezone.utc))\n"
        "print(way.prefix, way.rate.rate, way.offers[0].vendor.name)\n"
    )
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", code), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["44", str(int(Decimal("0.05") * reading.UNIT)), "a"]


def test_bytes_do_not_depend_on_the_day(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2] / "site/positive/rates-in-full")
    sites, made = [], []
    for day in ("1000000000", "2500000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)
        site, problems = read_site(SiteOptions(inventory=(Path(),)))
        problems.raise_errors()
        sites.append(site)
        compiled = [files(site, node, Memo()) for node in site.nodes.values()]
        made.append([file.content for found in compiled for file in found])
    rows = [[deck.rows for node in site.nodes.values() for deck in node.rates.decks()] for site in sites]
    assert rows[0] != rows[1], "on both days the same rows hold: this shows nothing"
    assert made[0] == made[1]
    assert made[0]
