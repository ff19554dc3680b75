"""A report as an expression of ibis over rated calls: the same for every engine that ibis writes for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import RATED
from vosctl.rates.reports.catalogue import PERIOD, Report
from vosctl.rates.reports.measures import MEASURES, WIDE
from vosctl.rates.reports.scope import Scope

_TYPES = {"VARCHAR": "string", "BIGINT": "int64", "INTEGER": "int32", "TIMESTAMP": "timestamp(6)"}
_OF_SIDE = {
    "customer": ("customer_seconds", "revenue", "revenue_total"),
    "vendor": ("vendor_seconds", "expense", "expense_total"),
}
CALLS = "rated_calls"


def calls_table() -> Any:
    """Return rated calls that are bound to no engine, named ``CALLS``."""
    schema = {name: _TYPES[kind] for name, kind in RATED.items()}
    return needed("ibis").table(schema, name=CALLS)


def expression(report: Report, calls: Any, scope: Scope, period: str, span: tuple[datetime, datetime]) -> Any:
    """Return the report's keys and sums for each group of calls; ``period`` "" is the whole time.

    ``span`` are the first and the last call's beginnings.
    """
    chosen = scope.of(calls)
    if report.sides:
        return _both_sides(report, report.sides, chosen, _time(scope, chosen, period, span))
    keys = {name: _said(chosen, name) for name in report.keys}
    keys = {**_time(scope, chosen, period, span), **keys}
    sums = {name: MEASURES[name](chosen) for name in report.sums}
    return chosen.group_by(**keys).aggregate(**sums) if keys else chosen.aggregate(**sums)


def _said(calls: Any, column: str) -> Any:
    """Return a text; what nobody said is the empty one, a destination without a name is its prefix."""
    said = calls[column].fill_null("")
    if not column.endswith("_destination"):
        return said
    prefix = calls[column.replace("_destination", "_prefix")].fill_null("")
    return (said == "").ifelse(prefix, said)


def _time(scope: Scope, calls: Any, period: str, span: tuple[datetime, datetime]) -> dict[str, Any]:
    return {PERIOD: scope.period(calls, period, span)} if period else {}


def _both_sides(report: Report, sides: tuple[str, str], chosen: Any, time: Mapping[str, Any]) -> Any:
    """Return what each party, or each deck, bought and sold: a party may be customer and vendor."""
    sums = {name: MEASURES[name](chosen) for name in report.sums}
    ends = {side: _said(chosen, column) for side, column in zip(_OF_SIDE, sides, strict=True)}
    pairs = chosen.group_by(**ends, **time).aggregate(**sums)
    first, second = (_side(pairs, report, side, time) for side in _OF_SIDE)
    both = first.union(second)
    return both.group_by([*time, *report.keys]).aggregate(**{name: both[name].sum() for name in report.sums})


def _side(pairs: Any, report: Report, side: str, time: Mapping[str, Any]) -> Any:
    literal = needed("ibis").literal
    names = {"side": literal(side), report.keys[-1]: pairs[side]}
    columns = {
        name: pairs[name].cast(WIDE) if name in _OF_SIDE[side] else literal(0).cast(WIDE)
        for name in report.sums
    }
    chosen = {name: names[name] for name in report.keys}
    return pairs.select(**chosen, **{name: pairs[name] for name in time}, **columns)


def columns(report: Report, scope: Scope, period: str) -> set[str]:
    """Return the columns of rated calls that the report reads: what the engine must work out."""
    ibis = needed("ibis")
    moment = datetime.fromtimestamp(0).astimezone()
    made = expression(report, calls_table(), scope, period, (moment, moment))
    fields = made.op().find(ibis.expr.operations.Field)
    return {field.name for field in fields} & set(RATED)
