"""A reconciliation on the screen, as JSON, CSV and Parquet: totals by class, then what differs, the most money first."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import UNIT_PLACES
from vosctl.rates.reconcile.classes import Class, Reconciled, Total
from vosctl.report.rates.figures import thousands

_STYLES = {Class.AGREED: "green", Class.ROUNDING: "dim", Class.RATE: "red", Class.MISSING_HERE: "red"}
_COLUMNS = ("class", "number", "moment", "our_ms", "their_ms", "our_amount", "their_amount", "difference")


def amount(value: int | None) -> Decimal | None:
    """Return an amount of 10^-8 in whole currency, all its digits kept."""
    return None if value is None else Decimal(value).scaleb(-UNIT_PLACES)


def shift_text(minutes: int) -> str:
    """Return ``2 h later`` or ``5 h 30 min earlier``."""
    hours, rest = divmod(abs(minutes), 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest)
    return f"{' '.join(parts)} {'later' if minutes > 0 else 'earlier'}"


def findings(found: Reconciled) -> list[str]:
    """Return in words what holds for the files as a whole."""
    said = [f"{found.ours:,} calls here, {found.theirs:,} there"]
    if found.shift:
        shift = shift_text(found.shift // 60_000)
        said.append(f"their clock as a whole is {shift}: compared without that")
    return said


def screen(found: Reconciled, rows: list[dict[str, Any]]) -> Group:
    """Return totals by class and the differences given."""
    totals = _table(
        ("", "left"), ("calls", "right"), ("ours", "right"), ("theirs", "right"), ("difference", "right")
    )
    for each in found.totals:
        totals.add_row(each.kind.value, *_figures(each), style=_STYLES.get(each.kind, ""))
    totals.add_section()
    totals.add_row("all", *_figures(found.total), style="bold")
    parts: list[RenderableType] = [*map(Text, findings(found)), "", totals]
    if rows:
        parts += ["", Text("What differs, the most money first", style="bold"), "", _listed(rows)]
    differing = sum(each.calls for each in found.totals if each.kind is not Class.AGREED)
    if differing > len(rows):
        parts.append(
            Text(f"and {differing - len(rows):,} more: --format csv --out FILE has them all", style="dim")
        )
    return Group(*parts)


def _table(*columns: tuple[str, Any]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, justify in columns:
        made.add_column(name, justify=justify, no_wrap=True)
    return made


def _figures(total: Total) -> list[str]:
    money = (
        thousands(Decimal(each).scaleb(-UNIT_PLACES), 4)
        for each in (total.ours, total.theirs, total.difference)
    )
    return [f"{total.calls:,}", *money]


def _listed(rows: list[dict[str, Any]]) -> Table:
    left, right = "left", "right"
    made = _table(
        ("class", left), ("number", left), ("began (UTC)", left), ("seconds", right), ("theirs", right),
        ("amount", right), ("theirs", right), ("difference", right),
    )  # fmt: skip
    for row in rows:
        made.add_row(*cells(row))
    return made


def cells(row: dict[str, Any]) -> list[str]:
    """Return a difference for people, in the order of ``_COLUMNS``."""
    kind = row["class"]
    if row["shift_minutes"]:
        kind += f", {shift_text(row['shift_minutes'])}"
    seconds = ("-" if row[name] is None else f"{row[name] / 1000:g}" for name in ("our_ms", "their_ms"))
    money = (
        "-" if row[name] is None else thousands(amount(row[name]) or 0, 6)
        for name in ("our_amount", "their_amount", "difference")
    )
    return [kind, row["number"], f"{row['moment']:%Y-%m-%d %H:%M:%S}", *seconds, *money]


def as_json(found: Reconciled, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all of it; amounts as text, exact."""
    return {
        "ours": found.ours,
        "theirs": found.theirs,
        "shift_minutes": found.shift // 60_000,
        "rounding": str(amount(found.rounding)),
        "totals": {each.kind.value: _as_json(each) for each in found.totals},
        "all": _as_json(found.total),
        "differences": [
            {name: _plain(name, value) for name, value in row.items() if value is not None} for row in rows
        ],
    }


def _as_json(total: Total) -> dict[str, Any]:
    names = ("ours", "theirs", "difference")
    return {"calls": total.calls, **{name: f"{amount(getattr(total, name)):f}" for name in names}}


def _plain(name: str, value: Any) -> Any:
    if name in {"our_amount", "their_amount", "difference"}:
        return f"{amount(value):f}"
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if name == "moment" else value


def write(table: Any, out: Path | BinaryIO, kind: str) -> None:
    """Write an Arrow table of differences as ``csv`` or ``parquet``; amounts are decimals with 8 places."""
    pa = needed("pyarrow")
    exact = pa.decimal128(38, UNIT_PLACES)
    for name in ("our_amount", "their_amount", "difference"):
        scaled = pa.array([amount(value) for value in table.column(name).to_pylist()], exact)
        table = table.set_column(table.schema.get_field_index(name), name, scaled)
    if kind == "csv":
        needed("pyarrow.csv").write_csv(table, out)
    else:
        needed("pyarrow.parquet").write_table(table, out)
