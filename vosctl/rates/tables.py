"""Decks as one Arrow table, for bulk: money as whole numbers of 10^-8, every row of every deck."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vosctl.errors import VosctlError
from vosctl.site.decks import Deck, Rate

if TYPE_CHECKING:
    import pyarrow as pa

DECIMALS = 8
_MONEY = ("rate", "first_rate", "connect", "minimum")
_WHOLE = ("cycle", "first_seconds", "grace", "free_seconds")


def deck_table(decks: Iterable[Deck]) -> pa.Table:
    """Return the rates of decks as a table: a line for each row of ``Deck.every``, in order.

    Columns: deck, prefix, section, destination (string); valid_from, valid_until (timestamp[us], UTC,
    null: no bound); rate, first_rate, connect, minimum (int64, 10^-8 of the deck's currency a minute or
    call); cycle, first_seconds, grace, free_seconds, line (int32); blocked (bool). Raises VosctlError
    without pyarrow, and for an amount of more than 8 decimals.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise VosctlError(
            "rates in bulk need pyarrow, which is not installed", hint="pip install 'vosctl[rates]'"
        ) from error
    names: list[str] = []
    rates: list[Rate] = []
    for deck in decks:
        rates.extend(deck.every)
        names.extend([deck.name] * len(deck.every))
    units = _Units()
    columns: dict[str, Any] = {
        "deck": pa.array(names, pa.string()),
        "prefix": pa.array([rate.prefix for rate in rates], pa.string()),
        "section": pa.array([rate.section for rate in rates], pa.string()),
        "valid_from": _moments(pa, [rate.valid_from for rate in rates]),
        "valid_until": _moments(pa, [rate.valid_until for rate in rates]),
    }
    for name in _MONEY:
        columns[name] = pa.array([units.of(getattr(rate, name), rate) for rate in rates], pa.int64())
    for name in _WHOLE:
        columns[name] = pa.array([getattr(rate, name) for rate in rates], pa.int32())
    columns["blocked"] = pa.array([rate.blocked for rate in rates], pa.bool_())
    columns["destination"] = pa.array([rate.destination for rate in rates], pa.string())
    columns["line"] = pa.array([rate.mark.line for rate in rates], pa.int32())
    return pa.table(columns)


def _moments(pa: Any, moments: list[datetime | None]) -> Any:
    """Return moments without a zone, in UTC, which is how DuckDB and Spark compare them alike."""
    return pa.array(
        [None if moment is None else moment.replace(tzinfo=None) for moment in moments], pa.timestamp("us")
    )


class _Units:
    """Whole numbers of 10^-8 for amounts: many rates share one object, whose hash would take longer than its id."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, amount: Decimal, rate: Rate) -> int:
        """Return the amount, which must go on existing, in units; raise VosctlError where it is none."""
        known = self._known.get(id(amount))
        if known is None:
            scaled = amount.scaleb(DECIMALS)
            known = self._known[id(amount)] = int(scaled)
            if known != scaled:
                raise VosctlError(
                    f"{rate.mark}: {amount:f} has more than {DECIMALS} decimals",
                    hint="round it in the deck; bulk arithmetic counts in units of 10^-8",
                )
        return known
