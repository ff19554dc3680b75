"""Decks with everything that terms can be, and calls that meet their edges; the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck, Rate, Rates, Rounding, Tier
from vosctl.site.tree import Mark

MARK = Mark("decks.yml", 1, 1)
BEGIN = datetime(2026, 10, 24, 20, tzinfo=timezone.utc)  # the night in which Europe's clocks go back
KINDS = ("ROUND_HALF_UP", "ROUND_HALF_EVEN", "ROUND_HALF_DOWN", "ROUND_UP", "ROUND_DOWN", "ROUND_CEILING",
         "ROUND_FLOOR")  # fmt: skip
CALENDAR = Calendar(
    "week",
    "Europe/Berlin",
    {
        "peak": (Window(frozenset({0, 1, 2, 3, 4}), 480, 1200),),
        "night": (Window(frozenset(range(8)), 1350, 150),),
    },
    frozenset({date(2026, 10, 26)}),
)


def money(rng: random.Random, most: int = 4) -> Decimal:
    places = rng.choice((0, 1, 2, 4, 5, 8))
    return Decimal(rng.randrange(most * 10**places)).scaleb(-places)


def rate(rng: random.Random, prefix: str, **more: object) -> Rate:
    cycle = rng.choice((1, 1, 6, 30, 60, 7))
    first = rng.choice((0, 1, 6, 30, 60))
    own = money(rng)
    return Rate(
        prefix, own, cycle, rng.choice((own, money(rng))), first, rng.choice((Decimal(0), money(rng))), MARK,
        minimum=rng.choice((Decimal(0), Decimal(0), money(rng, 1))), grace=rng.choice((0, 0, 0, 3)),
        free_seconds=rng.choice((0, 0, 0, 10)), blocked=rng.random() < 0.05, destination=f"Land {prefix[:2]}",
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def rows(rng: random.Random, count: int) -> Sequence[Rate]:
    made = [rate(rng, "")] if rng.random() < 0.5 else []
    for _ in range(count):
        prefix = "".join(rng.choice("0123") for _ in range(rng.randint(1, 6)))
        start = BEGIN + timedelta(minutes=rng.randrange(3000))
        when = rng.choice((
            {}, {}, {"section": rng.choice(("peak", "night"))}, {"valid_from": start},
            {"valid_until": start}, {"valid_from": start, "valid_until": start + timedelta(hours=9)},
        ))  # fmt: skip
        made.append(rate(rng, prefix, **when))
    return made


def deck(rng: random.Random, name: str, *, count: int = 60, tiers: bool = False) -> Deck:
    entries = tuple(rows(rng, count))
    return Deck(
        name, {}, MARK, entries=entries, currency=rng.choice(("", "USD", "IRR")),
        rounding=Rounding(rng.choice((0, 2, 4, 6, 6, 8)), rng.choice(KINDS)),
        tax=rng.choice((Decimal(0), Decimal(19), Decimal("7.7"), Decimal("8.875"))), calendar=CALENDAR,
        tiers=(Tier(10, Decimal("2.5")), Tier(30, Decimal(10))) if tiers else (),
    )  # fmt: skip


def site(seed: int, *, decks: int = 6, count: int = 60) -> Rates:
    rng = random.Random(seed)
    groups = {name: deck(rng, name, count=count) for name in (f"group {at}'s" for at in range(decks))}
    clearing = {name: deck(rng, name, count=count) for name in (f"vendor {at}" for at in range(decks))}
    return Rates("EUR", groups, clearing, {"USD": Decimal("0.9217"), "IRR": Decimal("0.0000217")})


def calls(seed: int, rates: Rates, count: int) -> dict[str, list[object]]:
    rng = random.Random(seed)
    customers = [*rates.groups, None, "unknown"]
    vendors = [*rates.clearing, None]
    table: dict[str, list[object]] = {
        name: [] for name in ("call_id", "started", "duration_ms", "callee", "customer_deck", "vendor_deck")
    }
    for at in range(count):
        duration = rng.choice(
            (
                0,
                999,
                1000,
                3000,
                10_000,
                30_000,
                60_000,
                rng.randrange(200_000),
                86_400_000,
                1000 * rng.randrange(400),
            )
        )
        number = "".join(rng.choice("0123") for _ in range(rng.randint(1, 8)))
        started = BEGIN + timedelta(minutes=rng.randrange(3000), microseconds=rng.choice((0, 1, -1)))
        row = (
            f"c{at}",
            started.replace(tzinfo=None),
            duration,
            number,
            rng.choice(customers),
            rng.choice(vendors),
        )
        for name, value in zip(table, row, strict=True):
            table[name].append(value)
    return table
