"""Amounts, durations, moments and numbers as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal

import click
import pytest

from vosctl.cli.rates.parameters import AMOUNT, DURATION, INCREMENT, MOMENT, NUMBER, SIGNED

UTC = timezone.utc


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (AMOUNT, "0.0125", Decimal("0.0125")),
        (AMOUNT, ".5", Decimal("0.5")),
        (SIGNED, "-0.002", Decimal("-0.002")),
        (DURATION, "75", Decimal(75)),
        (DURATION, "75.5s", Decimal("75.5")),
        (DURATION, "3m", Decimal(180)),
        (DURATION, "1.5 min", Decimal(90)),
        (DURATION, "1h", Decimal(3600)),
        (DURATION, "1:15", Decimal(75)),
        (DURATION, "1:01:15.25", Decimal("3675.25")),
        (MOMENT, "2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        (MOMENT, "2026-11-23 18:30", datetime(2026, 11, 23, 18, 30, tzinfo=UTC)),
        (MOMENT, "2026-11-23T18:30Z", datetime(2026, 11, 23, 18, 30, tzinfo=UTC)),
        (MOMENT, "2026-11-23T18:30+01:00", datetime(2026, 11, 23, 17, 30, tzinfo=UTC)),
        (NUMBER, "+44 (20) 7123-4567", "442071234567"),
        (NUMBER, "0044.20.71234567", "442071234567"),
        (NUMBER, "442071234567", "442071234567"),
    ],
)
def test_what_is_understood(kind, text, value):
    found = kind.convert(text, None, None)
    assert found == value
    assert kind.convert(found, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (AMOUNT, "0,0125", "write a decimal point: 0.0125"),
        (AMOUNT, "1e-3", "as 0.0125"),
        (AMOUNT, "NaN", "as 0.0125"),
        (AMOUNT, "-1", "less than 0"),
        (DURATION, "1:75", "1:15"),
        (DURATION, "soon", "1:15"),
        (DURATION, "-5", "1:15"),
        (MOMENT, "23.11.2026", "2026-11-23T18:30"),
        (NUMBER, "call me", "write digits"),
        (NUMBER, "+", "write digits"),
        (INCREMENT, "60/0", "as 30/6"),
    ],
)
def test_what_is_not_says_how_to_write_it(kind, text, said):
    with pytest.raises(click.BadParameter, match=re.escape(said)):
        kind.convert(text, None, None)
