"""What calls earned, by customer, vendor or prefix, and how far the switch's amounts are from the decks'."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.actual import Actual
from vosctl.report.rates.figures import percent, rounded, thousands, warned

_PLACES, _SMALL, _FINE = 2, 4, 6
_LARGE = 100


def screen(found: Sequence[Actual], *, by: str, currency: str, most: int | None) -> Group:
    """Return a row for each, at most so many, and what the columns mean."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column(by, no_wrap=True, overflow="ellipsis")
    if by == "prefix":
        table.add_column("destination", no_wrap=True, overflow="ellipsis", max_width=18)
    for heading in ("calls", "minutes", "revenue", "cost", "profit", "margin", "markup", "deviation"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = found[:most]
    places = _PLACES if max((each.revenue for each in shown), default=_LARGE) >= _LARGE else _SMALL
    for each in shown:
        place = (each.destination,) if by == "prefix" else ()
        table.add_row(each.name or "-", *place, *_cells(each, places))
    parts: list[RenderableType] = [
        Text(f"{currency}, by the decks and without taxes; the lowest profit first"),
        "",
        table,
    ]
    if len(found) > len(shown):
        parts.append(Text(f"and {len(found) - len(shown):,} more: --all shows them", style="dim"))
    parts += ["", *_notes(found)]
    return Group(*parts)


def _notes(found: Sequence[Actual]) -> list[Text]:
    said, unpriced, calls = (
        sum(getattr(each, name) for each in found) for name in ("said", "unpriced", "calls")
    )
    notes = [f"deviation: how much more the switch's amounts earned, of {said:,} calls that have them"]
    if unpriced:
        notes.append(f"{unpriced:,} of {calls:,} calls have no rate on one side and are in no amount")
    return [Text(note, style="dim") for note in notes]


def _cells(each: Actual, places: int) -> tuple[str | Text, ...]:
    losing = each.profit < 0
    earned = (thousands(each.profit, places), percent(each.margin), percent(each.markup))
    return (
        f"{each.calls:,}",
        thousands(each.minutes, _PLACES),
        *(thousands(amount, places) for amount in (each.revenue, each.expense)),
        *(warned(text, bad=losing) for text in earned),
        "-" if each.deviation is None else _signed(each.deviation, places),
    )


def _signed(amount: Decimal, places: int) -> str:
    return f"{rounded(amount, places):+,f}" if amount else "0"


def as_json(found: Sequence[Actual], currency: str) -> list[dict[str, Any]]:
    """Return the rows for programs; amounts are decimal texts."""
    return [
        {
            "name": each.name,
            "destination": each.destination or None,
            "currency": currency,
            "calls": each.calls,
            "unpriced": each.unpriced,
            "minutes": f"{rounded(each.minutes, _FINE):f}",
            "revenue": f"{each.revenue:f}",
            "cost": f"{each.expense:f}",
            "profit": f"{each.profit:f}",
            "margin_percent": None if each.margin is None else f"{rounded(each.margin, _PLACES):f}",
            "markup_percent": None if each.markup is None else f"{rounded(each.markup, _PLACES):f}",
            "said": each.said,
            "deviation": None if each.deviation is None else f"{each.deviation:f}",
        }
        for each in found
    ]
