"""Each report over a dozen calls whose sums a reader can add up; times of day are in Berlin, where clocks go back."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from conftest import EMPTY, SPAN, rated_calls

from vosctl.rates.engine.rated import RATED
from vosctl.rates.reports.catalogue import REPORTS
from vosctl.rates.reports.run import Made, Request, on_engine
from vosctl.rates.reports.scope import Scope
from vosctl.site.decks import Agent, Commitment, Deck, Rates
from vosctl.site.tree import Mark

EURO = 10**8
BERLIN = Scope(zone="Europe/Berlin")


def call(at: str, cause: int = 200, seconds: int = 60, **more: Any) -> dict[str, Any]:
    """A call of acme over orbit to Germany: a minute sold at 0.05 with 20 % tax and bought at 0.03 with none."""
    sold = -(-seconds // 60) * 60
    revenue, expense = sold // 60 * EURO // 20, sold // 60 * EURO * 3 // 100
    made: dict[str, Any] = dict.fromkeys(RATED)
    made.update(
        call_id=at, started=datetime.fromisoformat(f"2026-10-{at}"), duration_ms=seconds * 1000, cause=cause,
        pdd_ms=1500, customer="acme", customer_gateway="acme-1", customer_destination="Germany", customer_prefix="49",
        customer_seconds=sold, revenue=revenue, customer_total=revenue * 6 // 5, vendor="orbit",
        vendor_gateway="orbit-1", vendor_destination="Germany", vendor_prefix="49", vendor_seconds=sold,
        expense=expense, vendor_total=expense, margin=revenue - expense, agent="lee",
    )  # fmt: skip
    made.update(more)
    return made


CALLS = [
    call("24T21:59:59"),  # the last second of the 24th in Berlin
    call("24T22:00:00", seconds=90),  # two minutes are billed
    call("24T23:30:00", cause=486, seconds=0),
    call("25T00:30:00", cause=503, seconds=0, pdd_ms=4500, cost=EURO // 100),
    call("25T22:59:59", cause=404, seconds=0, pdd_ms=None),  # 23:59:59: that day has 25 hours
    call("25T23:00:00", vendor="polar", vendor_gateway="polar-1", expense=EURO // 10, vendor_total=EURO // 10,
         margin=EURO // 20 - EURO // 10),
    # The switch billed a cent too much and paid a cent less than the decks say.
    call("26T01:00:00", billed=7 * EURO // 100, cost=2 * EURO // 100),
    # No deck has a rate for it.
    call("26T02:00:00", customer="orbit", customer_gateway=None, customer_destination=None, customer_prefix=None, agent=None,
         customer_seconds=None, revenue=None, customer_total=None, margin=None),
]  # fmt: skip


@pytest.fixture
def made(duck: Any):
    def run(name: str, calls: list[dict[str, Any]] = CALLS, rates: Rates = EMPTY, **more: Any) -> Made:
        request = Request(REPORTS[name], more.pop("scope", BERLIN), **more)
        return on_engine(duck(calls), SPAN, request, rates)

    return run


def rows(made: Made, *names: str) -> list[tuple[object, ...]]:
    at = [[column.name for column in made.columns].index(name) for name in names]
    return [tuple(row[each] for each in at) for row in made.rows]


def test_revenue_is_charges_and_tax_by_customer_and_destination(made: Any):
    found = made("revenue")
    # Five billed minutes of acme at 0.05, a fifth of it in tax.
    assert found.rows[0] == (
        "acme",
        "Germany",
        7,
        4,
        Decimal("4.50"),
        Decimal("5.00"),
        Decimal("0.25"),
        Decimal("0.05"),
        Decimal("0.30"),
    )
    assert found.rows[1] == (
        "orbit",
        "(none)",
        1,
        1,
        Decimal("1.00"),
        Decimal("0.00"),
        Decimal(0),
        Decimal(0),
        Decimal(0),
    )
    assert found.total == (
        8,
        5,
        Decimal("5.50"),
        Decimal("5.00"),
        Decimal("0.25"),
        Decimal("0.05"),
        Decimal("0.30"),
    )


def test_a_gateways_bill_tells_the_margin_of_what_both_sides_have_a_rate_for(made: Any):
    found = made("gateway-bill")
    # 0.25 − (0.03 + 0.06 + 0.10 + 0.03)
    assert rows(found, "customer gateway", "total", "revenue", "expense", "margin", "margin %") == [
        ("acme-1", Decimal("0.30"), Decimal("0.25"), Decimal("0.22"), Decimal("0.03"), Decimal("12.00")),
        ("(none)", Decimal(0), Decimal(0), Decimal("0.03"), Decimal(0), None),
    ]


def test_what_vendors_are_owed(made: Any):
    assert rows(made("clearing-account"), "vendor", "vendor destination", "charged minutes", "total") == [
        ("orbit", "Germany", Decimal("5.00"), Decimal("0.15")),
        ("polar", "Germany", Decimal("1.00"), Decimal("0.10")),
    ]
    found = made("clearing-gateway")
    # Of seven calls over orbit four were answered, 60 + 90 + 60 + 60 s long; post-dial delay 1.5 s but once 4.5 s.
    assert rows(found, "vendor gateway", "ASR", "ACD", "PDD", "a minute") == [
        ("orbit-1", Decimal("57.14"), Decimal("67.5"), Decimal(2000), Decimal("0.030000")),
        ("polar-1", Decimal("100.00"), Decimal("60.0"), Decimal(1500), Decimal("0.100000")),
    ]


@pytest.mark.parametrize(("of_margin", "share"), [(False, "0.025"), (True, "0.003")])
def test_agents_get_their_share_of_what_is_paid_or_left(made: Any, *, of_margin: bool, share: str):
    rates = Rates("EUR", {}, {}, agents={"lee": Agent("lee", Decimal(10), of_margin, Mark("a.yml", 1, 1))})
    found = made("agent-income", rates=rates)
    assert rows(found, "agent", "revenue", "margin", "commission") == [
        ("lee", Decimal("0.25"), Decimal("0.03"), Decimal(share)),
        ("(none)", Decimal(0), Decimal(0), Decimal(0)),
    ]
    assert found.total[-1] == Decimal(share)


def test_who_owes_whom_where_a_party_is_customer_and_vendor(made: Any):
    assert rows(made("settlement"), "party", "receivable", "payable", "balance") == [
        ("acme", Decimal("0.30"), Decimal(0), Decimal("0.30")),
        ("polar", Decimal(0), Decimal("0.10"), Decimal("-0.10")),
        ("orbit", Decimal(0), Decimal("0.15"), Decimal("-0.15")),
    ]


def test_what_a_months_commitment_asks_on_top(made: Any):
    mark = Mark("a.yml", 1, 1)
    orbit = Deck("orbit", {}, mark, currency="USD", commitment=Commitment(minutes=100, rate=Decimal("0.01")))
    retail = Deck("retail", {}, mark, commitment=Commitment(amount=Decimal(1)))
    rates = Rates("EUR", {"retail": retail}, {"orbit": orbit}, {"USD": Decimal("0.5")})
    calls = [{**each, "customer_source": "retail", "vendor_source": each["vendor"]} for each in CALLS]
    found = made("commitments", calls, rates)
    assert rows(found, "period", "side", "deck", "sold", "bought", "owed on top") == [
        # 95 of 100 minutes are missing, at 0.01 USD
        ("2026-10", "vendor", "orbit", Decimal(0), Decimal("0.15"), Decimal("0.475")),
        ("2026-10", "vendor", "polar", Decimal(0), Decimal("0.1"), Decimal(0)),
        ("2026-10", "customer", "retail", Decimal("0.25"), Decimal(0), Decimal("0.75")),
    ]


def test_the_switch_beside_the_decks(made: Any):
    found = rows(
        made("deviation"),
        "vendor",
        "differing",
        "billed",
        "billed expected",
        "paid",
        "paid expected",
        "deviation",
    )
    # Billed 0.07 for 0.06, paid 0.02 for 0.03 and 0.01 for a call that failed: 0.01 + 0.01 − 0.01.
    assert found[0] == (
        "orbit",
        2,
        Decimal("0.07"),
        Decimal("0.06"),
        Decimal("0.03"),
        Decimal("0.03"),
        Decimal("0.01"),
    )


def test_failed_calls_by_reason_and_cost(made: Any):
    found = made("failed")
    names = (
        "vendor",
        "calls",
        "failed",
        "not found",
        "busy",
        "congestion",
        "cost of failed",
        "margin missed",
    )
    # A call over orbit that is answered leaves (0.02 + 0.04 + 0.02) ÷ 4; three failed.
    assert rows(found, *names) == [
        ("orbit", 7, 3, 1, 1, 1, Decimal("0.01"), Decimal("0.06")),
        ("polar", 1, 0, 0, 0, 0, Decimal(0), Decimal(0)),
    ]


def test_margin_by_customer_vendor_and_destination(made: Any):
    names = (
        "customer",
        "vendor",
        "margin",
        "margin %",
        "markup %",
        "sold a minute",
        "bought a minute",
        "unrated",
    )
    assert rows(made("margin"), *names) == [
        (
            "acme",
            "orbit",
            Decimal("0.08"),
            Decimal("40.00"),
            Decimal("66.67"),
            Decimal("0.050000"),
            Decimal("0.030000"),
            0,
        ),
        ("orbit", "orbit", Decimal(0), None, None, None, Decimal("0.030000"), 1),
        (
            "acme",
            "polar",
            Decimal("-0.05"),
            Decimal("-100.00"),
            Decimal("-50.00"),
            Decimal("0.050000"),
            Decimal("0.100000"),
            0,
        ),
    ]


@pytest.mark.parametrize(
    ("period", "zone", "expected"),
    [
        ("day", "Europe/Berlin", [("2026-10-24", 1), ("2026-10-25", 4), ("2026-10-26", 3)]),
        ("day", "UTC", [("2026-10-24", 3), ("2026-10-25", 3), ("2026-10-26", 2)]),
        ("month", "Europe/Berlin", [("2026-10", 8)]),
        ("hour", "Asia/Kolkata", [("2026-10-25 03:00", 2), ("2026-10-25 05:00", 1), ("2026-10-25 06:00", 1),
                                  ("2026-10-26 04:00", 2), ("2026-10-26 06:00", 1), ("2026-10-26 07:00", 1)]),
    ],
)  # fmt: skip
def test_periods_are_local_time(made: Any, period: str, zone: str, expected: list[tuple[str, int]]):
    assert rows(made("trend", scope=Scope(zone=zone), period=period), "period", "calls") == expected


def test_whose_calls_and_when(made: Any):
    begin, end = (datetime(2026, 10, day, tzinfo=timezone.utc) for day in (25, 26))
    scopes = [
        Scope(begin, end),
        Scope(vendor="polar"),
        Scope(customer="nobody"),
        Scope(destination="Germany"),
    ]
    assert [sum(count for (count,) in rows(made("trend", scope=scope), "calls")) for scope in scopes] == [
        3,
        1,
        0,
        7,
    ]


def test_rows_are_ordered_by_what_is_asked_for(made: Any):
    assert [row[0] for row in rows(made("clearing-gateway", order="a minute"), "vendor gateway")] == [
        "polar-1",
        "orbit-1",
    ]


def test_a_report_reads_only_the_columns_it_needs(made: Any):
    from vosctl.rates.reports.expressions import columns  # noqa: PLC0415  beside what it is of

    assert columns(REPORTS["revenue"], BERLIN, "") == {
        "call_id", "cause", "customer", "customer_destination", "customer_prefix", "customer_seconds",
        "customer_total", "duration_ms", "revenue",
    }  # fmt: skip


def test_sums_beyond_64_bits_are_exact(made: Any):
    calls = rated_calls(3, 2000)
    expected = sum(each["revenue"] or 0 for each in calls)
    assert expected > 2**63
    found = made("trend", calls)
    assert rows(found, "revenue") == [(Decimal(expected).scaleb(-8),)]
