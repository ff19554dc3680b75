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
    """Return an arithmetic: what, how it was worked out, and the amounts in one column, their points aligned."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for justify in ("left", "left", "right"):
        made.add_column(justify=justify, overflow="fold")
    decimals = max((len(_decimals(amount)) for *_, amount in rows), default=0)
    for what, working, amount in rows:
        made.add_row(what, working, _padded(amount, decimals))
    return made


def _decimals(amount: str) -> str:
    """Return what follows the whole digits, the point included."""
    digits = amount.split(" ", 1)[0]
    return digits[digits.index(".") :] if "." in digits else ""


def _padded(amount: str, decimals: int) -> str:
    first, blank, rest = amount.partition(" ")
    return first + " " * (decimals - len(_decimals(amount))) + blank + rest
