"""Figures as people read them: money without exponents, thousands, per cent; always from exact numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from rich.table import Table

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
    """Return an arithmetic: what, how it was worked out, and the amounts in one column, their points aligned.

    An amount may have a unit after a blank, as ``0.0156 EUR`` or ``33.33 %``.
    """
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(overflow="fold")
    made.add_column(overflow="fold")
    made.add_column(justify="right", no_wrap=True)
    parts = [amount.partition(" ") for *_, amount in rows]
    decimals = max((len(_decimals(number)) for number, *_ in parts), default=0)
    units = max((len(unit) + 1 for _, _, unit in parts if unit not in {"", "%"}), default=0)
    for (what, working, _), (number, _, unit) in zip(rows, parts, strict=True):
        after = decimals - len(_decimals(number))
        if unit == "%":
            text = f"{number} %".ljust(len(number) + after + units)
        else:
            text = number + " " * after + (f" {unit}" if unit else "").ljust(units)
        made.add_row(what, working, text)
    return made


def _decimals(number: str) -> str:
    """Return what follows the whole digits, the point included."""
    return number[number.index(".") :] if "." in number else ""
