"""Margins as tables: each prefix, or customers and vendors in summary; and the arithmetic of one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.billing import fraction_text
from vosctl.rates.guard import plain
from vosctl.rates.margins import Margin, Summary
from vosctl.rates.quote import share
from vosctl.report.rates.figures import add_numbers, percent, rounded, steps, warned
from vosctl.site.decks import Rate

_PLACES = 6


def one(price: Decimal, cost: Decimal) -> Group:
    """Return margin and markup of a price over a cost, worked out."""
    profit = price - cost
    rows = [("profit", f"{plain(price)} − {plain(cost)}", plain(profit))]
    if price:
        rows.append(("margin", f"{plain(profit)} ÷ {plain(price)}", percent(share(profit, price))))
    if cost:
        rows.append(("markup", f"{plain(profit)} ÷ {plain(cost)}", percent(share(profit, cost))))
    return Group(steps(rows))


def one_json(price: Decimal, cost: Decimal) -> dict[str, Any]:
    """Return the same for programs."""
    profit = price - cost
    return {
        "profit": plain(profit),
        "margin_percent": _share(share(profit, price)),
        "markup_percent": _share(share(profit, cost)),
    }


def prefixes(found: Sequence[Margin], *, most: int | None, of: str) -> Group:
    """Return the rows, at most so many, in the order given; ``of`` says what price and cost are of."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("group", no_wrap=True)
    table.add_column("prefix", no_wrap=True)
    table.add_column("destination", no_wrap=True, overflow="ellipsis", max_width=20)
    shown = found[:most]
    prices = add_numbers(table, "price", [fraction_text(each.price, _PLACES) for each in shown])
    costs = ["-" if each.cost is None else fraction_text(each.cost, _PLACES) for each in shown]
    costs = add_numbers(table, "cost", costs)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("markup", justify="right", no_wrap=True)
    table.add_column("vendor", overflow="fold")
    for each, price, cost in zip(shown, prices, costs, strict=True):
        shares = (warned(percent(part), bad=each.losing) for part in (each.margin, each.markup))
        names = each.group, each.prefix or "(others)", each.sold.destination
        style = "" if each.vendor and not each.locked else "dim"
        table.add_row(*names, price, cost, *shares, _vendor(each), style=style)
    parts: list[RenderableType] = [Text(f"{of}, without taxes; the lowest margin first"), "", table]
    if len(found) > len(shown):
        parts.append(Text(f"and {len(found) - len(shown):,} more: --all shows them", style="dim"))
    return Group(*parts)


def _vendor(each: Margin) -> str:
    name = each.vendor.name if each.vendor else "nobody"
    return f"{name}, locked: {each.locked}" if each.locked else name


def summary(found: Sequence[Summary], *, by: str) -> Table:
    """Return a row for each customer or vendor."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("group" if by == "customer" else "vendor")
    for heading in ("prefixes", "nobody carries", "at a loss", "lowest", "middle", "highest"):
        table.add_column(heading, justify="right")
    for each in found:
        shares = (
            warned(percent(part), bad=(part or 0) < 0) for part in (each.lowest, each.middle, each.highest)
        )
        losing = warned(f"{each.losing:,}", bad=each.losing > 0)
        table.add_row(each.name, f"{each.prefixes:,}", f"{each.uncarried:,}", losing, *shares)
    return table


def prefixes_json(found: Sequence[Margin]) -> list[dict[str, Any]]:
    """Return the rows for programs; amounts are decimal texts, exact ones as fractions too where they do not end."""
    return [
        {
            "group": each.group,
            "prefix": each.prefix,
            "destination": each.sold.destination or None,
            "place": _place(each.sold),
            "vendor": each.vendor.name if each.vendor else None,
            "vendor_place": _place(each.bought) if each.bought else None,
            "locked": each.locked or None,
            "price": str(rounded(each.price, 10)),
            "cost": None if each.cost is None else str(rounded(each.cost, 10)),
            "profit": None if each.profit is None else str(rounded(each.profit, 10)),
            "margin_percent": _share(each.margin),
            "markup_percent": _share(each.markup),
        }
        for each in found
    ]


def summary_json(found: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return the summary for programs."""
    return [
        {
            "name": each.name,
            "prefixes": each.prefixes,
            "uncarried": each.uncarried,
            "losing": each.losing,
            "lowest_percent": _share(each.lowest),
            "middle_percent": _share(each.middle),
            "highest_percent": _share(each.highest),
        }
        for each in found
    ]


def _share(part: Fraction | None) -> str | None:
    return None if part is None else f"{rounded(part, 2):f}"


def _place(rate: Rate) -> str:
    return f"{rate.mark.file}:{rate.mark.line}"
