"""What calls would have earned, for people, programs and spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from rich.table import Table

from vosctl.rates.simulation import Earned, Line, money, total

_PARTS = ("revenue", "expense", "margin")


def screen(found: Sequence[Line], by: str, currency: str, titles: tuple[str, str], most: int) -> Table:
    """Return a table of at most so many lines, and the sum of all; whole cents, as rounding to them is only shown."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(by, overflow="ellipsis", max_width=24, no_wrap=True)
    for heading in ("calls", f"margin {titles[0]}", f"margin {titles[1]}", f"change {currency}", "unpriced"):
        table.add_column(heading, justify="right")
    shown = list(found[:most])
    for line in [*shown, total(found)]:
        table.add_row(
            *_cells(line), style="bold" if line.name == "total" and line not in shown else _style(line)
        )
    if len(found) > most:
        table.caption = f"{len(found) - most:,} more lines: --all shows them"
    return table


def _cells(line: Line) -> tuple[str, ...]:
    amounts = (f"{money(each):,.2f}" for each in (line.was.margin, line.would.margin))
    unpriced = (
        f"{line.was.unpriced:,} → {line.would.unpriced:,}" if line.was.unpriced or line.would.unpriced else ""
    )
    return line.name or "(none)", f"{line.would.calls:,}", *amounts, f"{money(line.change):+,.2f}", unpriced


def _style(line: Line) -> str:
    return "red" if line.change < 0 else ""


def as_json(found: Sequence[Line], by: str, currency: str, titles: tuple[str, str]) -> dict[str, Any]:
    """Return all lines with exact amounts as texts."""
    return {
        "by": by,
        "currency": currency,
        "was": titles[0],
        "would": titles[1],
        "lines": [_object(line) for line in found],
        "total": _object(total(found)),
    }


def _object(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "was": _sums(line.was),
        "would": _sums(line.would),
        "change": f"{money(line.change):f}",
    }


def _sums(sums: Earned) -> dict[str, Any]:
    amounts = {part: f"{money(getattr(sums, part)):f}" for part in _PARTS}
    return {
        "calls": sums.calls,
        "seconds": f"{Decimal(sums.milliseconds).scaleb(-3):f}",
        "unpriced": sums.unpriced,
        **amounts,
    }


def as_csv(found: Sequence[Line], by: str) -> str:
    """Return all lines as CSV with exact amounts."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = [f"{side}_{part}" for side in ("was", "would") for part in ("calls", "unpriced", *_PARTS)]
    writer.writerow([by, *parts, "change"])
    for line in found:
        cells: list[object] = [line.name]
        for sums in (line.was, line.would):
            cells += [sums.calls, sums.unpriced, *(f"{money(getattr(sums, part)):f}" for part in _PARTS)]
        writer.writerow([*cells, f"{money(line.change):f}"])
    return out.getvalue()
