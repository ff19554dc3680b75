"""The arithmetic of ``vosctl.rates.billing.charge`` as SQL over whole numbers, for all calls at once.

Rates are per minute and periods in seconds, so sixty times the charge is a whole number of 10^-8; tax, discount,
the division by sixty and the rounding are one multiplication, one addition and one division (``factors``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vosctl.rates.engine.factors import Division
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import BLOCKED, NO_DECK, NO_RATE
from vosctl.rates.engine.tariff import FIRST_TERM, TERM_FIELDS, TERM_NO_DECK, TERM_NO_RATE, Tariff

# Calls of more than thirty days are refused where CDRs are read, so products have a bound.
LONGEST_MS = 30 * 86_400_000
TERM_COLUMNS = ("number", "state", "grace_ms", "free_ms", "start_ms", "cycle", "cycle_ms", "first_seconds", "first",
                "step", "connect", "minimum")  # fmt: skip
_DIVISION = ("times", "addend", "divisor", "unit", "tied")
FACTOR_COLUMNS = (
    "kind",
    "source",
    *(f"{name}_{field}" for name in ("total", "net", "exchange") for field in _DIVISION),
)
_LIMIT = 2**63 - 1
_SECOND = 1000
_MINUTE = 60


class Terms:
    """The rows' distinct terms and the decks' factors as Arrow tables, and the SQL that applies them."""

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self.most = self._most()
        self.taxed = any(factor.net != factor.total for factor in tariff.factors)

    def terms(self) -> Any:
        """Return the table of terms; those without a row come first and charge nothing."""
        pa, np = needed("pyarrow"), needed("numpy")
        rows = np.concatenate([np.zeros((FIRST_TERM, len(TERM_FIELDS) + 1), np.int64), self._tariff.terms])
        field = {name: rows[:, at] for at, name in enumerate(TERM_FIELDS)}
        states = [NO_DECK if at == TERM_NO_DECK else NO_RATE if at == TERM_NO_RATE else BLOCKED if blocked else ""
                  for at, blocked in enumerate(field["blocked"].tolist())]  # fmt: skip
        cycle = np.maximum(field["cycle"], 1)
        return pa.table({
            "number": pa.array(np.arange(len(rows), dtype=np.int32)),
            "state": pa.array(states, pa.string()),
            "grace_ms": field["grace"] * _SECOND,
            "free_ms": field["free_seconds"] * _SECOND,
            "start_ms": (field["free_seconds"] + field["first_seconds"]) * _SECOND,
            "cycle": cycle,
            "cycle_ms": cycle * _SECOND,
            "first_seconds": field["first_seconds"],
            "first": field["first_rate"] * field["first_seconds"],
            "step": field["rate"] * cycle,
            "connect": field["connect"] * _MINUTE,
            "minimum": field["minimum"] * _MINUTE,
        })  # fmt: skip

    def factors(self) -> Any:
        """Return the table of factors, one a deck and tier."""
        pa = needed("pyarrow")
        columns: dict[str, Any] = {
            "kind": pa.array(range(len(self._tariff.factors)), pa.int32()),
            "source": pa.array([factor.deck or None for factor in self._tariff.factors], pa.string()),
        }
        columns |= _columns(pa, "total", [factor.total for factor in self._tariff.factors])
        columns |= _columns(pa, "net", [factor.net for factor in self._tariff.factors])
        columns |= _columns(pa, "exchange", [factor.exchange for factor in self._tariff.factors])
        return pa.table(columns)

    def joins(self, own: str, tables: str) -> str:
        """Return SQL that joins ``<tables>_terms`` and ``<tables>_factors`` to calls looked up for the candidate ``own``."""
        return (
            f" join (select {_renamed(own, TERM_COLUMNS)} from {tables}_terms) {own}_t"
            f" on {own}_t.{own}_number = looked_up.{own}_term"
            f" join (select {_renamed(own, FACTOR_COLUMNS)} from {tables}_factors) {own}_f"
            f" on {own}_f.{own}_kind = looked_up.{own}_factor"
        )

    def steps(self, own: str) -> str:
        """Return SQL of the cycles that began after the free seconds and the first period."""
        left = f"greatest(duration_ms - {own}_start_ms, 0)"
        return f"({left} + {own}_cycle_ms - 1) // {own}_cycle_ms as {own}_steps"

    def sixty(self, own: str) -> str:
        """Return SQL of sixty times the charge, given the steps."""
        kind = "BIGINT" if self.most <= _LIMIT else "HUGEINT"
        periods = f"{own}_first + {own}_steps * {own}_step::{kind}"
        return (
            f"case when duration_ms <= {own}_grace_ms then 0::{kind} else greatest({own}_minimum,"
            f" {own}_connect + case when duration_ms > {own}_free_ms then {periods} else 0 end) end as {own}_sixty"
        )

    def seconds(self, own: str) -> str:
        """Return SQL of the seconds that are billed, given the steps."""
        whole = f"{own}_first_seconds + {own}_steps * {own}_cycle"
        return f"case when duration_ms <= greatest({own}_grace_ms, {own}_free_ms) then 0 else {whole} end"

    def amount(self, own: str, name: str) -> str:
        """Return SQL of the rounded amount (``total`` or ``net``), given sixty times the charge."""
        divisions = [getattr(factor, name) for factor in self._tariff.factors]
        amount = _divided(f"{own}_sixty", f"{own}_{name}", divisions, self.most)
        exchanges = [factor.exchange for factor in self._tariff.factors if factor.exchange]
        if not exchanges:
            return f"({amount})::BIGINT"
        largest = max(each.of(self.most) for each in divisions)
        changed = _divided(f"({amount})", f"{own}_exchange", exchanges, largest)
        return f"(case when {own}_exchange_times is null then {amount} else {changed} end)::BIGINT"

    def _most(self) -> int:
        """Return the most that sixty charges can come to within ``LONGEST_MS``."""
        longest = LONGEST_MS // _SECOND
        most = 0
        for rate, first, connect, minimum, cycle, seconds, *_ in self._tariff.terms.tolist():
            gross = connect * _MINUTE + first * seconds + rate * (longest + cycle)
            most = max(most, gross, minimum * _MINUTE)
        return most


def _columns(pa: Any, name: str, divisions: Sequence[Division | None]) -> dict[str, Any]:
    """Return a division's numbers as columns; those of 64 bits and more go as decimals, which DuckDB makes HUGEINT."""
    found = {}
    for field in _DIVISION:
        values = [None if each is None else int(getattr(each, field)) for each in divisions]
        wide = any(value is not None and value > _LIMIT for value in values)
        found[f"{name}_{field}"] = pa.array(values, pa.decimal128(38) if wide else pa.int64())
    return found


def _renamed(own: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{column} as {own}_{column}" for column in columns)


def _divided(amount: str, name: str, divisions: Sequence[Division], most: int) -> str:
    """Return SQL of ``Division.of`` with an amount of at most ``most``, in 64 bits where that is enough."""
    wide = any((most + 1) * each.times + each.divisor > _LIMIT for each in divisions)
    cast = "::HUGEINT" if wide else ""
    times, addend, divisor, unit = (
        f"{name}_{field}{cast}" for field in ("times", "addend", "divisor", "unit")
    )
    product = f"{amount}{cast}" if all(each.times == 1 for each in divisions) else f"{amount}{cast} * {times}"
    dividend = f"({product} + {addend})"
    whole = f"({dividend} // {divisor})"
    if any(each.tied for each in divisions):
        odd = f"{name}_tied = 1 and {dividend} % {divisor} = 0 and {whole} % 2 = 1"
        whole = f"({whole} - case when {odd} then 1 else 0 end)"
    return whole if all(each.unit == 1 for each in divisions) else f"{whole} * {unit}"
