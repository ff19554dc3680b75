"""What calls earned, by customer, vendor or prefix, and how far the switch's amounts are from the decks'."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.actual import Actual
from vosctl.report.rates.figures import percent, rounded, thousands

_PLACES = 2
_FINE = 6


def screen(found: Sequence[Actual], *, by: str, currency: str, most: int | None) -> Group:
    """Return a row for each, at most so many, and what the columns mean."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(by, overflow="fold")
    if by == "prefix":
        table.add_column("destination", no_wrap=True, overflow="ellipsis", max_width=18)
    for heading in ("calls", "minutes", "revenue", "cost", "profit", "margin", "markup", "deviation"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = found[:most]
    for each in shown:
        place = (each.destination,) if by == "prefix" else ()
        table.add_row(each.name or "-", *place, *_cells(each), style="bold red" if each.profit < 0 else "")
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
    notes = [
        f"deviation: what the switch's amounts earned more than that, of the {said:,} calls that have them"
    ]
    if unpriced:
        notes.append(f"{unpriced:,} of {calls:,} calls have no rate on one side and are in no amount")
    return [Text(note, style="dim") for note in notes]


def _cells(each: Actual) -> tuple[str, ...]:
    amounts = (
        thousands(amount, _PLACES) for amount in (each.minutes, each.revenue, each.expense, each.profit)
    )
    return (
        f"{each.calls:,}",
        *amounts,
        percent(each.margin),
        percent(each.markup),
        "-" if each.deviation is None else _signed(each.deviation),
    )


def _signed(amount: Decimal) -> str:
    """Return an amount with its sign, and so fine that a small one still shows."""
    return f"{rounded(amount, _PLACES if abs(amount) >= 1 else _FINE):+,f}" if amount else "0"


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
