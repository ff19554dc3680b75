"""Figures as people read them: money without exponents, thousands, per cent; always from exact numbers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from rich.table import Table
from rich.text import Text

from vosctl.rates.billing import divide, fraction_text
from vosctl.site.decks import Rounding

Exact = Decimal | Fraction | int


def rounded(amount: Exact, places: int, kind: str = ROUND_HALF_UP) -> Decimal:
    """Return an exact amount rounded once."""
    whole = Fraction(amount)
    return divide(Decimal(whole.numerator), Decimal(whole.denominator), Rounding(places, kind))


def thousands(amount: Exact, places: int = 0) -> str:
    """Return ``1,000,000`` or ``333,333.33``."""
    return f"{rounded(amount, places):,f}"


def percent(share: Exact | None, places: int = 2) -> str:
    """Return ``33.33 %`` of a share in per cent; ``-`` where there is none."""
    return "-" if share is None else f"{rounded(share, places):f} %"


def money(amount: Exact, places: int = 4) -> str:
    """Return an amount with at least ``places`` decimals and all that it has, up to ten."""
    text = fraction_text(Fraction(amount))
    if "…" in text:
        return text
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<{places}}" if places else text


def worked(amount: Exact, places: int) -> str:
    """Return an amount within an arithmetic: thousands apart, "…" where it goes on."""
    text = thousands(amount, places)
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if rounded(amount, places) == Fraction(amount) else f"{text}…"


def steps(rows: list[tuple[str, str, str]]) -> Table:
    """Return an arithmetic: what, how it was worked out, and the amounts in one column, their points in line.

    An amount may have a unit after a blank, as ``0.0156 EUR`` or ``33.33 %``.
    """
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(overflow="fold")
    made.add_column(overflow="fold")
    made.add_column(no_wrap=True)
    parts = [amount.partition(" ") for *_, amount in rows]
    numbers = aligned([number for number, *_ in parts])
    for (what, working, _), number, (*_, unit) in zip(rows, numbers, parts, strict=True):
        made.add_row(what, working, f"{number.rstrip()} %" if unit == "%" else f"{number} {unit}")
    return made


def aligned(numbers: Sequence[str]) -> list[str]:
    """Return numbers padded to one width, their points in line; for a column to the left, as blanks at the end are cut."""
    most = max((len(_decimals(number)) for number in numbers), default=0)
    padded = [number + " " * (most - len(_decimals(number))) for number in numbers]
    width = max(map(len, padded), default=0)
    return [number.rjust(width) for number in padded]


def add_numbers(table: Table, heading: str, numbers: Sequence[str]) -> list[str]:
    """Add a column of numbers to a table and return its cells, their points in line."""
    cells = aligned(numbers)
    width = max(map(len, (heading, *cells)))
    table.add_column(heading.rjust(width), no_wrap=True)
    return [cell.rjust(width) for cell in cells]


def warned(text: str, *, bad: bool) -> Text:
    """Return a cell's text, which stands out where it is bad."""
    return Text(text, style="bold red" if bad else "")


def _decimals(number: str) -> str:
    """Return what follows the whole digits, the point included."""
    return number[number.index(".") :] if "." in number else ""
