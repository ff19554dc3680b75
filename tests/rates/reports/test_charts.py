from __future__ import annotations

from decimal import Decimal

import pytest

from vosctl.report.rates.page.charts import bars, line, short, waterfall


def test_what_is_not_drawn_is_told_and_does_not_dwarf_the_bars():
    made = bars([(f"d{at}", Decimal(-at)) for at in range(1, 101)])
    assert [bar.label for bar in made.bars] == [f"d{at}" for at in range(89, 101)]
    assert made.others == ("88 others", Decimal(-sum(range(1, 89))))
    assert all(bar.kind == "loss" and bar.x + bar.width == pytest.approx(made.zero) for bar in made.bars)


def test_gains_and_losses_stay_within_the_picture_with_room_for_their_figures():
    made = bars([("a", Decimal(70)), ("b", Decimal(-30)), ("c", Decimal(0))])
    assert made.others is None
    assert min(bar.x for bar in made.bars) == pytest.approx(made.left + 96)
    assert max(bar.x + bar.width for bar in made.bars) == pytest.approx(made.width - 96)
    widths = [bar.width for bar in made.bars]
    assert (
        widths[0] * 30 == pytest.approx(widths[2] * 70) and widths[1] == 1
    )  # what is nothing can be pointed at


def test_a_waterfall_ends_where_its_steps_lead():
    made = waterfall([("revenue", Decimal(100)), ("polar", Decimal(-70)), ("orbit", Decimal(-50))])
    *_, orbit, margin = made.bars
    assert (margin.amount, margin.kind) == (Decimal(-20), "loss")
    assert margin.y == pytest.approx(made.zero)
    assert orbit.y + orbit.height == pytest.approx(margin.y + margin.height)


def test_points_are_drawn_while_they_can_be_told_apart():
    days = [(f"2026-{at:03}", Decimal(at)) for at in range(63)]
    assert line(days[:62]).dotted and not line(days).dotted
    assert len(line(days).across) <= 8


@pytest.mark.parametrize(
    ("amount", "text"), [("1500", "1.5k"), ("-2000000", "-2M"), ("0.25", "0.25"), ("0", "0")]
)
def test_ticks_are_short(amount: str, text: str):
    assert short(Decimal(amount)) == text
