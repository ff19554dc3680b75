"""Calls that were made, rated twice: what they earned, and what they would have earned by other decks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from vosctl.rates.engine.rated import UNIT_PLACES
from vosctl.rates.engine.rating import Rating, survey
from vosctl.site.decks import Rates

KEYS = {"customer": "customer", "vendor": "vendor", "destination": "customer_destination"}
_SUMS = (
    "count(*), sum(duration_ms), count(*) filter (where margin is null),"
    " sum(revenue) filter (where margin is not null), sum(expense) filter (where margin is not null)"
)


class Earned(Struct, frozen=True):
    """Sums over calls: ``unpriced`` of them lack one side's amount and are in neither; money in 10^-8, without taxes."""

    calls: int = 0
    milliseconds: int = 0
    unpriced: int = 0
    revenue: int = 0
    expense: int = 0

    @property
    def margin(self) -> int:
        """Revenue less expense."""
        return self.revenue - self.expense

    def __add__(self, other: Earned) -> Earned:
        return Earned(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


class Line(Struct, frozen=True):
    """One customer, vendor or destination: what was earned, and what would have been."""

    name: str
    was: Earned
    would: Earned

    @property
    def change(self) -> int:
        """How much more would have been left."""
        return self.would.margin - self.was.margin


def earned(
    connection: Any, calls: str, rates: Rates, by: str, note: Callable[[str], object] = str
) -> dict[str, Earned]:
    """Return what answered calls (SQL of a relation) earn by the decks of ``rates``, by customer, vendor or destination.

    ``note`` is called with what the amounts do not hold.
    """
    query = f"select * from ({calls}) where duration_ms > 0"  # noqa: S608  our own SQL
    needs = survey(connection, query)
    if needs is None:
        return {}
    key = KEYS[by]
    rating = Rating(connection, rates, needs)
    for each in rating.notes:
        note(each)
    table = rating.run(
        query,
        lambda rated: f"select coalesce({key}, ''), {_SUMS} from {rated} group by 1",  # noqa: S608
        columns={key, "duration_ms", "revenue", "expense", "margin"},
    )
    return _read(zip(*(column.to_pylist() for column in table.columns), strict=True))


def billed(connection: Any, calls: str, by: str) -> dict[str, Earned]:
    """Return what the switch said that answered calls earned; destinations it does not say, they are all ""."""
    key = KEYS[by] if by != "destination" else "null::varchar"
    said = f"select *, billed as revenue, cost as expense, billed - cost as margin from ({calls})"  # noqa: S608
    found = connection.execute(
        f"select coalesce({key}, ''), {_SUMS} from ({said}) where duration_ms > 0 group by 1"  # noqa: S608
    ).fetchall()
    return _read(found)


def lines(was: dict[str, Earned], would: dict[str, Earned]) -> list[Line]:
    """Return each name's line, what loses most first."""
    names = was.keys() | would.keys()
    found = [Line(name, was.get(name, Earned()), would.get(name, Earned())) for name in names]
    return sorted(found, key=lambda line: (line.change, line.name))


def total(found: Sequence[Line]) -> Line:
    """Return the sum of all lines."""
    return Line(
        "total",
        sum((line.was for line in found), Earned()),
        sum((line.would for line in found), Earned()),
    )


def money(units: int) -> Decimal:
    """Return 10^-8 of a currency as an amount."""
    return Decimal(units).scaleb(-UNIT_PLACES)


def _read(rows: Iterable[Sequence[Any]]) -> dict[str, Earned]:
    return {row[0]: Earned(*(int(value or 0) for value in row[1:])) for row in rows}
