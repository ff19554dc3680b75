"""A made report as a table on the screen, as JSON, CSV and Parquet; figures are exact but on the screen."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.engine.packages import needed
from vosctl.rates.reports.figures import PLACES, Kind, Value
from vosctl.rates.reports.run import Made
from vosctl.report.rates.figures import percent, thousands

_SCREEN = {Kind.MONEY: 2, Kind.PRICE: 6, Kind.MINUTES: 2, Kind.SECONDS: 1, Kind.MILLISECONDS: 0}
_LOSING = "bold red"


def screen(made: Made, *, most: int | None) -> Group:
    """Return the report as a table of at most so many rows, money rounded to two decimals."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for at, column in enumerate(made.columns):
        number = column.kind is not Kind.TEXT
        table.add_column(
            column.name, justify="right" if number else "left", no_wrap=number or at == 0, overflow="fold"
        )
    shown = made.rows[:most]
    for row in shown:
        table.add_row(*(shown_as(value, column.kind) for value, column in zip(row, made.columns, strict=True)),
                      style=_LOSING if loses(made, row) else "")  # fmt: skip
    if len(made.rows) > 1 and made.keys:
        texts = ["all", *[""] * (made.keys - 1)]
        totals = [
            shown_as(value, column.kind)
            for value, column in zip(made.total, made.columns[made.keys :], strict=True)
        ]
        table.add_section()
        table.add_row(*texts, *totals, style="bold")
    title = f"{made.report.title}, amounts in {made.currency}"
    parts: list[RenderableType] = [Text(title, style="bold"), "", table]
    if len(made.rows) > len(shown):
        parts.append(Text(f"and {len(made.rows) - len(shown):,} rows more: --all shows them", style="dim"))
    if not made.rows:
        parts.append(Text("no calls", style="dim"))
    return Group(*parts)


def loses(made: Made, row: tuple[Value, ...]) -> bool:
    """Return whether a row's margin, balance of payments aside, is below nothing."""
    names = [column.name for column in made.columns]
    value = row[names.index("margin")] if "margin" in names else None
    return isinstance(value, Decimal) and value < 0


def shown_as(value: Value, kind: Kind) -> str:
    """Return a figure for people."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if kind is Kind.PERCENT:
        return percent(Decimal(value))
    return thousands(value, _SCREEN.get(kind, 0))


def plain(value: Value) -> str:
    """Return a figure for programs: all its digits, a point, no thousands; "" for none."""
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def as_json(made: Made) -> dict[str, Any]:
    """Return the report for programs; amounts as text, for JSON's numbers are binary."""
    names = [column.name.replace(" ", "_") for column in made.columns]

    def row_of(row: tuple[Value, ...], keys: list[str]) -> dict[str, Any]:
        return {
            key: plain(value) if isinstance(value, Decimal) else value
            for key, value in zip(keys, row, strict=True)
        }

    return {
        "report": made.report.name,
        "currency": made.currency,
        "rows": [row_of(row, names) for row in made.rows],
        "total": row_of(made.total, names[made.keys :]),
    }


def write_csv(made: Made, stream: TextIO) -> None:
    """Write the rows as CSV (RFC 4180), with a heading line."""
    writer = csv.writer(stream)
    writer.writerow([column.name for column in made.columns])
    writer.writerows([plain(value) for value in row] for row in made.rows)


def write_parquet(made: Made, path: Path) -> None:
    """Write the rows as Parquet; amounts as decimals with all their places."""
    pa, pq = needed("pyarrow"), needed("pyarrow.parquet")
    arrays = [
        pa.array([row[at] for row in made.rows], _type(pa, column.kind))
        for at, column in enumerate(made.columns)
    ]
    table = pa.table(arrays, names=[column.name for column in made.columns])
    pq.write_table(
        table.replace_schema_metadata({"currency": made.currency, "report": made.report.name}), path
    )


def _type(pa: Any, kind: Kind) -> Any:
    if kind is Kind.TEXT:
        return pa.string()
    return pa.int64() if kind is Kind.COUNT else pa.decimal128(38, PLACES[kind])
