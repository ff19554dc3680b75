"""Margins of calls that were made: what the decks say that they earn, and how far the switch's amounts are from it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec import Struct

from vosctl.rates.engine.rated import UNIT
from vosctl.rates.engine.rating import Rating, survey
from vosctl.rates.quote import share
from vosctl.site.decks import Rates

KEYS = {"customer": "customer", "vendor": "vendor", "prefix": "customer_prefix"}
_NEEDED = ("customer", "vendor", "customer_prefix", "customer_destination", "duration_ms", "revenue", "expense",
           "customer_total", "vendor_total", "billed", "cost")  # fmt: skip
_MINUTE_MS = 60_000


class Actual(Struct, frozen=True):
    """Answered calls of one customer, vendor or prefix; amounts are exact, in the site's currency, without taxes.

    ``unpriced`` are calls of which one side has no rate; they and theirs are in no amount. ``deviation`` is how much
    more the switch's amounts earned than the decks say, of the ``said`` calls that have both amounts; None: none has.
    """

    name: str
    destination: str
    calls: int
    unpriced: int
    minutes: Fraction
    revenue: Decimal
    expense: Decimal
    said: int
    deviation: Decimal | None

    @property
    def profit(self) -> Decimal:
        """What the decks say that the calls earn."""
        return self.revenue - self.expense

    @property
    def margin(self) -> Fraction | None:
        """Profit in per cent of revenue."""
        return share(self.profit, self.revenue)

    @property
    def markup(self) -> Fraction | None:
        """Profit in per cent of expense."""
        return share(self.profit, self.expense)


def actual_margins(
    connection: Any, calls: str, rates: Rates, *, by: str, note: Callable[[str], None]
) -> list[Actual]:
    """Return the margins of a relation of calls (SQL), the lowest profit first; ``by`` is one of ``KEYS``.

    ``note`` is told what the amounts leave out.
    """
    needs = survey(connection, calls)
    if needs is None:
        return []
    rating = Rating(connection, rates, needs)
    for each in rating.notes:
        note(each)
    table = rating.run(calls, lambda rated: _statement(rated, KEYS[by]), columns=_NEEDED)
    return sorted(map(_actual, table.to_pylist()), key=lambda each: (each.profit, each.name))


def _statement(rated: str, key: str) -> str:
    priced = "revenue is not null and expense is not null"
    said = f"{priced} and billed is not null and cost is not null"
    sums = {
        "calls": "count(*)",
        "unpriced": f"count(*) filter (not ({priced}))",
        "milliseconds": f"sum(duration_ms) filter ({priced})",
        "revenue": f"sum(revenue) filter ({priced})",
        "expense": f"sum(expense) filter ({priced})",
        "said": f"count(*) filter ({said})",
        "deviation": f"sum((billed - customer_total) - (cost - vendor_total)) filter ({said})",
    }
    columns = ", ".join(f"{sql} as {name}" for name, sql in sums.items())
    place = "any_value(customer_destination)" if key == "customer_prefix" else "''"
    what = f"coalesce({key}, '') as name, {place} as destination, {columns}"
    return f"select {what} from {rated} where duration_ms > 0 group by 1"  # noqa: S608  every part is ours


def _actual(row: dict[str, Any]) -> Actual:
    return Actual(
        name=row["name"],
        destination=row["destination"] or "",
        calls=row["calls"],
        unpriced=row["unpriced"],
        minutes=Fraction(int(row["milliseconds"] or 0), _MINUTE_MS),
        revenue=_amount(row["revenue"]),
        expense=_amount(row["expense"]),
        said=row["said"],
        deviation=None if row["deviation"] is None else _amount(row["deviation"]),
    )


def _amount(units: int | None) -> Decimal:
    return Decimal(int(units or 0)) / UNIT
