"""Makes a report: the expression runs on an engine, figures are made of its sums, rows are put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import force_setattr

from vosctl.rates.billing import divide
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import UNIT, UNIT_PLACES
from vosctl.rates.engine.rating import Rating, Survey
from vosctl.rates.reports.catalogue import PERIOD, Report
from vosctl.rates.reports.expressions import CALLS, calls_table, columns, expression
from vosctl.rates.reports.figures import Kind, Value
from vosctl.rates.reports.scope import MONTH, SHOWN, Scope
from vosctl.site.decks import Commitment, Rates, Rounding

COMMISSION, OWED = "commission", "owed on top"
_PARTS = 100 * UNIT


class Column(Struct, frozen=True):
    """A column as it is shown."""

    name: str
    kind: Kind


class Made(Struct, frozen=True):
    """A report that was made: rows in order, and the figures of all calls together."""

    report: Report
    currency: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    total: tuple[Value, ...]
    keys: int


class Request(Struct, frozen=True):
    """What is asked for: the report, of which calls, for each period ("": the whole time) and sorted by which figure."""

    report: Report
    scope: Scope
    period: str = ""
    order: str = ""

    def __post_init__(self) -> None:
        if self.report.owed and not self.period:
            force_setattr(self, "period", MONTH)  # a commitment is a month's


def on_rating(rating: Rating, calls: str, found: Survey, request: Request, rates: Rates) -> Made:
    """Rate calls (SQL) and make the report in one pass over them."""
    ibis = needed("ibis")
    span = found.span.first, found.span.last
    made = expression(request.report, calls_table(), request.scope, request.period, span)
    sql = ibis.to_sql(made, dialect="duckdb")
    read = columns(request.report, request.scope, request.period)
    table = rating.run(calls, lambda rated: _over(sql, rated), columns=read)
    return made_of(table, request, rates)


def _over(sql: str, rated: str) -> str:
    """Return a statement that reads ``rated`` where the report's SQL reads its table of calls."""
    head = f"with {CALLS} as not materialized (select * from {rated})"  # noqa: S608  our own SQL
    if sql.startswith("WITH "):
        return f"{head}, {sql.removeprefix('WITH ')}"
    return f"{head} {sql}"


def on_engine(calls: Any, span: tuple[datetime, datetime], request: Request, rates: Rates) -> Made:
    """Make the report on any engine: ``calls`` is a table of rated calls that ibis is connected to."""
    found = expression(request.report, calls, request.scope, request.period, span).to_pyarrow()
    return made_of(found, request, rates)


def made_of(table: Any, request: Request, rates: Rates) -> Made:
    """Return the report of the sums that an engine brought."""
    report = request.report
    keys = [*([PERIOD] if request.period else []), *report.keys]
    figures = list(report.figures)
    groups = [_Group(_keys(row, keys, request.period), _sums(row, report)) for row in table.to_pylist()]
    groups = [group for group in groups if any(group.sums.values())]
    names = [Column(name.replace("_", " "), Kind.TEXT) for name in keys]
    names += [Column(figure.name.replace("_", " "), figure.kind) for figure in figures]
    rows = [(group, (*group.keys, *(figure.of(group.sums) for figure in figures))) for group in groups]
    everything = _added(groups, report.sums)
    total: tuple[Value, ...] = tuple(figure.of(everything) for figure in figures)
    for wanted, name, amount in ((report.commission, COMMISSION, _commission), (report.owed, OWED, _owed)):
        if wanted:
            names.append(Column(name, Kind.MONEY))
            amounts = [amount(group, report, rates) for group, _ in rows]
            rows = [(group, (*row, part)) for (group, row), part in zip(rows, amounts, strict=True)]
            total = (*total, sum(amounts, Decimal(0)))
    at = _place(names, request.order or report.first)
    ordered = sorted(
        (row for _, row in rows), key=lambda row: _rank(row, at, bool(request.period), len(keys))
    )
    return Made(report, rates.currency, tuple(names), tuple(ordered), total, len(keys))


class _Group(Struct, frozen=True):
    keys: tuple[str, ...]
    sums: Mapping[str, int]


def _keys(row: Mapping[str, Any], keys: Sequence[str], period: str) -> tuple[str, ...]:
    return tuple(
        row[name].strftime(SHOWN[period]) if name == PERIOD else str(row[name] or "(none)") for name in keys
    )


def _sums(row: Mapping[str, Any], report: Report) -> Mapping[str, int]:
    return {name: int(row[name] or 0) for name in report.sums}


def _added(groups: Iterable[_Group], names: Sequence[str]) -> dict[str, int]:
    added = dict.fromkeys(names, 0)
    for group in groups:
        for name in names:
            added[name] += group.sums[name]
    return added


def _commission(group: _Group, report: Report, rates: Rates) -> Decimal:
    """Return the agent's share of the group's revenue, or of its margin where that is agreed; nothing of a loss."""
    agent = rates.agents.get(group.keys[-len(report.keys)])
    if agent is None:
        return Decimal(0)
    base = group.sums["margin" if agent.of_margin else "revenue"]
    return divide(max(base, 0) * agent.commission, Decimal(_PARTS), Rounding(UNIT_PLACES))


def _owed(group: _Group, report: Report, rates: Rates) -> Decimal:
    """Return what a month's commitment asks beyond its calls, in the site's currency; nothing without one."""
    side, name = group.keys[-len(report.keys) :]
    deck = (rates.groups if side == "customer" else rates.clearing).get(name)
    if deck is None or deck.commitment is None:
        return Decimal(0)
    seconds, amount = ("customer_seconds", "revenue") if side == "customer" else ("vendor_seconds", "expense")
    worth, committed = rates.worth(deck), deck.commitment
    here = Commitment(committed.amount * worth, committed.minutes, committed.rate * worth)
    missing = here.missing(Decimal(group.sums[amount]) / UNIT, Decimal(group.sums[seconds]) / 60)
    return divide(missing, Decimal(1), Rounding(UNIT_PLACES))


def _place(columns: Sequence[Column], name: str) -> int:
    return next((at for at, column in enumerate(columns) if column.name == name), 0)


def _rank(row: tuple[Value, ...], at: int, timed: bool, keys: int) -> tuple[Any, ...]:  # noqa: FBT001  one caller
    """Order by period, then by the figure, the highest first, then by the keys."""
    value = row[at]
    number = value if isinstance(value, int | Decimal) else None
    texts = tuple(str(each) for each in row[:keys])
    return (texts[:1] if timed else (), number is None, -number if number is not None else 0, texts)
