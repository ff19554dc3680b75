"""The rates of a site as they are written: rows in time, sections, accounts; and the cheapest of several prices."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.rates.billing import charge, itemize
from vosctl.rates.pricing import Caller, Used, prices
from vosctl.site.decks import Rates, Rounding
from vosctl.site.read import SiteOptions, read_site

CASE = Path(__file__).parents[1] / "site/positive/rates-in-full"
FULL = "4930222222"


@pytest.fixture(scope="module")
def rates() -> Rates:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(CASE)
        patch.setenv("SOURCE_DATE_EPOCH", "1790000000")  # 2026-09-21T13:33:20Z
        site, problems = read_site(SiteOptions(playbook=None, inventory=(Path(),)))
    assert site is not None
    assert not problems.errors
    return next(iter(site.nodes.values())).rates


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-09-21T13:00", "0.02"),  # a Monday in the afternoon
        ("2026-09-21T20:00", "0.01"),  # 22:00 in Berlin
        ("2026-09-22T03:59", "0.01"),  # 05:59 in Berlin: the night of the day before
        ("2026-09-22T04:00", "0.02"),
        ("2026-09-26T10:00", "0.012"),  # a Saturday
        ("2026-11-30T22:59", "0.01"),
        ("2026-11-30T23:00", "0.01"),  # December in Berlin, at night: the change says nothing of nights
        ("2026-12-01T12:00", "0.025"),
        ("2026-12-25T12:00", "0.012"),  # a Friday and a holiday
        ("2026-12-31T23:59", "0.01"),
        ("2027-01-04T12:00", "0.03"),
        ("2027-01-04T23:00", "0.02"),
    ],
)
def test_a_row_is_the_one_that_holds_when_the_call_begins(rates: Rates, when: str, expected: str):
    deck = rates.groups["retail"]
    row = deck.find(FULL, utc(when))
    assert row is not None
    assert row.rate == Decimal(expected)
    assert deck.at(utc(when))["49"] is row


def test_a_row_ends_and_a_shorter_prefix_takes_over(rates: Rates):
    deck = rates.groups["retail"]
    found = [deck.find("4915123", utc(when)) for when in ("2027-06-30T21:59:59", "2027-06-30T22:00")]
    assert [row.prefix for row in found if row] == ["4915", "49"]


def test_the_rows_are_those_of_the_moment_the_site_was_read(rates: Rates):
    assert rates.groups["retail"].rows["49"].rate == Decimal("0.02")
    assert rates.groups["retail"].rows["88"].blocked


def test_a_bill_says_how_it_was_worked_out(rates: Rates):
    row = rates.groups["retail"].find("4915123", utc("2026-09-21T13:00"))
    assert row is not None
    bill = itemize(row, 75, Rounding(4), tax=Decimal(19), discount=Decimal("2.5"))
    # 65 s after 10 free ones: two minutes at 0.05; 2.5 % less, 19 % tax on that
    assert [(line.what, line.working) for line in bill.lines] == [
        ("free", "the first 10 of 75 s"),
        ("65 s", "2 × 60 s: 0.05 × 120 ÷ 60"),
        ("discount", "2.5 % of 0.1"),
        ("tax", "19 % of 0.0975"),
    ]
    assert sum(line.amount for line in bill.lines) * 10**6 == 116025
    assert bill.total == Decimal("0.1160")
    assert bill.seconds == 120


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0), (3, 0), (4, "0.01"), (10, "0.01"), (11, "0.05")])
def test_grace_free_seconds_and_minimum(rates: Rates, seconds: int, expected: str):
    row = rates.groups["retail"].find("4915123", utc("2026-09-21T13:00"))
    assert row is not None
    assert charge(row, seconds) == Decimal(expected)


def test_the_cheapest_of_group_account_and_phone_is_charged(rates: Rates):
    when = utc("2026-09-21T13:00")
    phone = Caller(number="4930123456")
    found = prices(rates, phone, FULL, when, 600)
    assert [(each.source, each.amount) for each in found] == [
        ("account acme", Decimal("0.11")),
        ("group retail", Decimal("0.2380")),  # with 19 % tax
    ]
    assert [each.source for each in prices(rates, phone, "4940222222", when, 60)] == [
        "phone 4930123456",
        "group retail",
    ]
    assert [each.source for each in prices(rates, Caller(group="retail"), FULL, when, 60)] == ["group retail"]


def test_what_exceeds_package_minutes_is_charged(rates: Rates):
    when = utc("2026-09-21T13:00")
    acme = Caller(account="acme")
    assert prices(rates, acme, FULL, when, 600, used=Used(package_seconds=600))[0].amount == 0
    assert prices(rates, acme, FULL, when, 600, used=Used(package_seconds=540))[0].amount == Decimal("0.011")


def test_a_tier_lowers_what_begins_after_its_minutes(rates: Rates):
    when = utc("2026-09-21T13:00")
    retail = Caller(group="retail")
    amounts = [
        prices(rates, retail, FULL, when, 6000, used=Used(minutes=Decimal(minutes)))[0].amount
        for minutes in ("9999.9", "10000", "100000")
    ]
    assert amounts == [Decimal("2.3800"), Decimal("2.3205"), Decimal("2.2610")]


def test_vendors_bill_in_their_own_money(rates: Rates):
    deck = rates.clearing["orbit"]
    assert rates.worth(deck) == Decimal("0.92")
    assert deck.commitment is not None
    assert deck.commitment.missing(Decimal(100), Decimal(49_000)) == Decimal(4)


def test_a_blocked_prefix_is_not_sold(rates: Rates):
    assert prices(rates, Caller(group="retail"), "8821", utc("2026-09-21T13:00"), 60) == ()
