"""A report as one file of HTML: figures at a glance, three charts, and the rows to sort."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from msgspec import Struct

from vosctl import resources
from vosctl.rates.reports.catalogue import Report
from vosctl.rates.reports.figures import Kind, Value, money
from vosctl.rates.reports.run import Made
from vosctl.report.rates.figures import percent, thousands
from vosctl.report.rates.made import loses, plain, shown_as
from vosctl.report.rates.page.charts import bars, line, waterfall

# Both sides of calls that both have a rate for: so revenue less every vendor's cost is the margin, to the last digit.
_BOTH = (money("revenue", "both_revenue"), money("expense", "both_expense"), money("margin"))
BY_DESTINATION = Report("", "", ("customer_destination",), _BOTH, "margin")
BY_VENDOR = Report("", "", ("vendor",), _BOTH, "expense")
BY_DAY = Report("", "", (), _BOTH, "margin")
_MOST_VENDORS = 6
_LETTER = 6.9  # pixels, of the widest of the usual fonts
_MOST_DAYS = 92


class Charts(Struct, frozen=True):
    """What the charts are drawn from: the sums by destination, by vendor and by day."""

    destinations: Made
    vendors: Made
    days: Made


def page(made: Made, charts: Charts, *, about: str) -> str:
    """Return the page; ``about`` says which calls it is of."""
    unit, times = _over_time([(str(day), _amount(margin)) for day, _, _, margin in charts.days.rows])
    destinations = [(str(name), _amount(margin)) for name, _, _, margin in charts.destinations.rows]
    return rendered(
        "report.html.j2",
        title=made.report.title,
        about=about,
        currency=made.currency,
        tiles=list(_tiles(charts.destinations.total)),
        waterfall=waterfall(_steps(charts.vendors)) if charts.vendors.rows else None,
        trend=line(times) if len(times) > 1 else None,
        unit=unit,
        destinations=bars(destinations) if destinations else None,
        columns=[{"name": each.name, "number": each.kind is not Kind.TEXT} for each in made.columns],
        rows=[{"cells": _cells(made, row), "losing": loses(made, row)} for row in made.rows],
        total=_cells(made, made.total, made.keys),
        keys=made.keys,
    )


def _over_time(days: list[tuple[str, Decimal]]) -> tuple[str, list[tuple[str, Decimal]]]:
    """Return days in order, or where they are too many to be told apart the sums of months."""
    if len(days) <= _MOST_DAYS:
        return "day", sorted(days)
    months: dict[str, Decimal] = {}
    for day, amount in sorted(days):
        months[day[:7]] = months.get(day[:7], Decimal(0)) + amount
    return "month", list(months.items())


def rendered(template: str, **values: Any) -> str:
    """Return a page of ``templates/rates``."""
    import jinja2  # noqa: PLC0415  only for this

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates() / "rates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(figure=_figure, clip=_clip)
    return str(environment.get_template(template).render(**values))


def _tiles(total: tuple[Value, ...]) -> Iterator[dict[str, Any]]:
    revenue, expense, margin = (_amount(value) for value in total)
    yield {"label": "revenue", "text": thousands(revenue, 2), "losing": False}
    yield {"label": "cost", "text": thousands(expense, 2), "losing": False}
    yield {"label": "margin", "text": thousands(margin, 2), "losing": margin < 0}
    share = percent(margin * 100 / revenue) if revenue else "-"
    yield {"label": "margin of revenue", "text": share, "losing": margin < 0}


def _steps(vendors: Made) -> list[tuple[str, Decimal]]:
    costs = [(str(name), _amount(expense)) for name, _, expense, _ in vendors.rows]
    costs.sort(key=lambda each: -each[1])
    shown, rest = costs[:_MOST_VENDORS], costs[_MOST_VENDORS:]
    steps = [("revenue", _amount(vendors.total[0])), *((name, -cost) for name, cost in shown if cost)]
    if rest:
        steps.append((f"{len(rest)} others", -sum((cost for _, cost in rest), Decimal(0))))
    return steps


def _amount(value: Value) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(0)


def _cells(made: Made, row: tuple[Value, ...], skipped: int = 0) -> list[dict[str, Any]]:
    return [
        {"text": shown_as(value, column.kind), "exact": plain(value), "number": column.kind is not Kind.TEXT}
        for value, column in zip(row, made.columns[skipped:], strict=True)
    ]


def _figure(amount: Decimal) -> str:
    return thousands(amount, 2)


def _clip(text: str, pixels: float) -> str:
    """Return the text as far as it fits in so many pixels."""
    room = max(int(pixels / _LETTER), 3)
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"
