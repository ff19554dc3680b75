"""Decks as one Arrow table, for bulk: money as whole numbers of 10^-8, every row of every deck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from vosctl.errors import VosctlError
from vosctl.site.decks import Deck, Rate

if TYPE_CHECKING:
    import pyarrow as pa

DECIMALS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
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
    columns: dict[str, Any] = {
        "deck": pa.array(names, pa.string()),
        "prefix": pa.array([rate.prefix for rate in rates], pa.string()),
        "section": pa.array([rate.section for rate in rates], pa.string()),
        "valid_from": _moments(pa, [rate.valid_from for rate in rates]),
        "valid_until": _moments(pa, [rate.valid_until for rate in rates]),
    }
    for name in _MONEY:
        columns[name] = pa.array(_units(rates, name), pa.int64())
    for name in _WHOLE:
        columns[name] = pa.array([getattr(rate, name) for rate in rates], pa.int32())
    columns["blocked"] = pa.array([rate.blocked for rate in rates], pa.bool_())
    columns["destination"] = pa.array([rate.destination for rate in rates], pa.string())
    columns["line"] = pa.array([rate.mark.line for rate in rates], pa.int32())
    return pa.table(columns)


def _moments(pa: Any, moments: list[datetime | None]) -> Any:
    """Return moments without a zone, in UTC, which is how DuckDB and Spark compare them alike."""
    known: dict[int, int | None] = {}
    for key, moment in zip(map(id, moments), moments, strict=True):
        if key not in known:
            known[key] = None if moment is None else (moment - _EPOCH) // _MICROSECOND
    return pa.array([known[id(moment)] for moment in moments], pa.int64()).cast(pa.timestamp("us"))


def _units(rates: Sequence[Rate], name: str) -> list[int]:
    """Return amounts as whole numbers of 10^-8; many rates share one object, which is converted once."""
    amounts: list[Decimal] = list(map(attrgetter(name), rates))
    keys = list(map(id, amounts))
    units: dict[int, int] = {}
    for key, amount in dict(zip(keys, amounts, strict=True)).items():
        scaled = amount.scaleb(DECIMALS)
        units[key] = int(scaled)
        if units[key] != scaled:
            place = rates[keys.index(key)].mark
            raise VosctlError(
                f"{place}: {amount:f} has more than {DECIMALS} decimals",
                hint="round it in the deck; bulk arithmetic counts in units of 10^-8",
            )
    return [units[key] for key in keys]
