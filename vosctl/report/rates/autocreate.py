"""Customers' rates that were made of vendors' rates: as YAML, CSV or a table, and the arithmetic of one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vosctl.rates.autocreate import AMOUNT, MARGIN, Goal, Made, Wish
from vosctl.rates.billing import fraction_text
from vosctl.rates.guard import plain
from vosctl.report.rates.figures import percent, rounded, steps
from vosctl.site.decks import Rate, Rates, Rounding

COLUMNS = (
    "prefix", "destination", "rate", "first_rate", "first_seconds", "cycle", "connect", "minimum", "grace", "free_seconds"
)  # fmt: skip


def one(cost: Decimal, wish: Wish) -> Group:
    """Return the arithmetic of one rate."""
    exact = wish.goal.price(Fraction(cost))
    price = rounded(exact, wish.rounding.places, wish.rounding.kind)
    profit = price - cost
    rows = [
        ("price", _working(cost, wish.goal), fraction_text(exact)),
        ("rounded", rounding_text(wish.rounding), plain(price)),
        ("profit", f"{plain(price)} − {plain(cost)}", plain(profit)),
    ]
    if price:
        rows.append(
            ("margin", f"{plain(profit)} ÷ {plain(price)}", percent(Fraction(profit) / Fraction(price) * 100))
        )
    if cost:
        rows.append(
            ("markup", f"{plain(profit)} ÷ {plain(cost)}", percent(Fraction(profit) / Fraction(cost) * 100))
        )
    return Group(Text(f"{plain(cost)} a minute, and {wish.goal}:"), "", steps(rows))


def one_json(cost: Decimal, wish: Wish) -> dict[str, Any]:
    """Return the same for programs."""
    exact = wish.goal.price(Fraction(cost))
    return {
        "cost": plain(cost),
        "exact": str(exact),
        "rate": plain(rounded(exact, wish.rounding.places, wish.rounding.kind)),
    }


def rounding_text(rounding: Rounding) -> str:
    """Return ``to 5 places, half-up``."""
    return f"to {rounding.places} places, {rounding.kind.removeprefix('ROUND_').lower().replace('_', '-')}"


def _working(cost: Decimal, goal: Goal) -> str:
    if goal.kind == AMOUNT:
        return f"{plain(cost)} + {plain(goal.size)}"
    share = fraction_text(Fraction(goal.size) / 100)
    return f"{plain(cost)} ÷ (1 − {share})" if goal.kind == MARGIN else f"{plain(cost)} × (1 + {share})"


def as_yaml(made: Sequence[Made], name: str, comment: str) -> str:
    """Return a rate group as it stands in group_vars, a row a line."""
    lines = [f"# {comment}", "rates:", "  groups:", f"    {name}:", "      rows:"]
    lines += [f"        {json.dumps(each.rate.prefix)}: {{{_fields(each.rate)}}}" for each in made]
    return "\n".join(lines) + "\n"


def _fields(rate: Rate) -> str:
    parts = [f"rate: {plain(rate.rate)}"]
    if rate.first_seconds:
        if rate.first_rate != rate.rate:
            parts.append(f"first_rate: {plain(rate.first_rate)}")
        parts.append(f"first_seconds: {rate.first_seconds}")
    parts.append(f"cycle: {rate.cycle}")
    parts += [
        f"{key}: {plain(amount)}"
        for key, amount in (("connect", rate.connect), ("minimum", rate.minimum))
        if amount
    ]
    parts += [
        f"{key}: {count}"
        for key, count in (("grace", rate.grace), ("free_seconds", rate.free_seconds))
        if count
    ]
    if rate.destination:
        parts.append(f"destination: {json.dumps(rate.destination, ensure_ascii=False)}")
    return ", ".join(parts)


def as_csv(made: Sequence[Made]) -> str:
    """Return a deck file with a heading, a row a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in made:
        unused = {} if each.rate.first_seconds else {"first_rate": "", "first_seconds": ""}
        cells = (unused.get(column, getattr(each.rate, column)) for column in COLUMNS)
        writer.writerow([plain(cell) if isinstance(cell, Decimal) else cell for cell in cells])
    return text.getvalue()


def table(rates: Rates, made: Sequence[Made]) -> Table:
    """Return the rows with what they cost and earn."""
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    found.add_column("prefix")
    found.add_column("destination", overflow="ellipsis", no_wrap=True)
    found.add_column("vendor's deck", no_wrap=True)
    for heading in ("costs", "rate", "profit", "margin"):
        found.add_column(heading, justify="right", no_wrap=True)
    for each in made:
        found.add_row(
            each.rate.prefix or "(others)", each.rate.destination, each.deck.name, *_money(rates, each)
        )
    return found


def _money(rates: Rates, made: Made) -> tuple[str, ...]:
    cost = Fraction(made.cost.rate) * Fraction(rates.worth(made.deck))
    price = Fraction(made.rate.rate)
    margin = (price - cost) / price * 100 if price else None
    return fraction_text(cost), plain(made.rate.rate), fraction_text(price - cost), percent(margin)


def as_json(rates: Rates, made: Sequence[Made]) -> list[dict[str, Any]]:
    """Return the rows for programs; amounts are decimal texts."""
    found = []
    for each in made:
        row = {column: getattr(each.rate, column) for column in COLUMNS}
        row = {key: plain(value) if isinstance(value, Decimal) else value for key, value in row.items()}
        cost, _, profit, margin = _money(rates, each)
        row |= {
            "deck": each.deck.name,
            "cost": cost,
            "profit": profit,
            "margin_percent": margin.removesuffix(" %"),
        }
        found.append(row)
    return found
