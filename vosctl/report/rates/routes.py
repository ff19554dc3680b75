"""The ways of a call on a terminal and as JSON: vendors in the order in which they are tried, then the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.guard import plain
from vosctl.rates.ways import Choice, Way
from vosctl.report.rates.figures import money, percent


def screen(number: str, when: datetime, ways: Sequence[Way]) -> Group:
    """Return the ways, one below the other."""
    return Group(*_parts(number, when, ways))


def _parts(number: str, when: datetime, ways: Sequence[Way]) -> Iterator[RenderableType]:
    if not ways:
        yield Text("no node selected sells anything", style="bold red")
    for way in ways:
        yield Text(f"{number} from {way.group}, {when:%Y-%m-%d %H:%M} UTC, on {', '.join(way.nodes)}", "bold")
        if way.rate is None:
            yield Text("not sold: the group has no row for it, or the row is blocked", "bold red")
        else:
            prefix = way.prefix or "(all others)"
            yield Text(f"prefix {prefix}, the customer pays {money(way.rate)} {way.currency} a minute")
            yield _table(way)
            if not way.usable:
                yield Text("no vendor may carry it", style="bold red")
        yield ""


def _table(way: Way) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("vendor", overflow="fold")
    for heading in ("a minute", "profit", "margin"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    usable = [each for each in way.choices if each.usable]
    for place, each in enumerate(usable, 1):
        losing = each.profit is not None and each.profit < 0
        table.add_row(str(place), *_cells(each), style="bold red" if losing else "")
    for each in way.choices:
        if not each.usable:
            table.add_row("–", *_cells(each), style="dim")
    return table


def _cells(each: Choice) -> tuple[str, ...]:
    name = f"{each.vendor} (over {each.via})" if each.via else each.vendor
    cost, earned = ("-" if amount is None else money(amount) for amount in (each.cost, each.profit))
    return name, cost, earned, percent(each.margin), "; ".join(_notes(each))


def _notes(each: Choice) -> Iterator[str]:
    if each.locked:
        yield f"locked: {each.locked}"
    if not each.open:
        yield "outside its hours"
    if each.priority:
        yield f"priority {each.priority}"
    if each.share:
        yield f"first for {each.share} % of the calls"
    if each.tied:
        yield f"ranks as the one before, weight {each.weight}"
    if each.cost is None and not each.locked:
        yield "nobody knows what it costs"


def as_json(way: Way) -> dict[str, Any]:
    """Return a way as JSON-ready objects; amounts are texts."""
    return {
        "group": way.group,
        "nodes": list(way.nodes),
        "currency": way.currency,
        "prefix": way.prefix,
        "rate": None if way.rate is None else plain(way.rate),
        "vendors": [
            {
                "vendor": each.vendor,
                "via": each.via,
                "cost": None if each.cost is None else plain(each.cost),
                "profit": None if each.profit is None else plain(each.profit),
                "margin_percent": None if each.margin is None else plain(each.margin),
                "locked": each.locked,
                "open": each.open,
                "tied": each.tied,
                "priority": each.priority,
                "weight": each.weight,
                "share": each.share,
            }
            for each in way.choices
        ],
    }
