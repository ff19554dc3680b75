"""The arithmetic of ``vosctl.rates.billing.charge`` as SQL over whole numbers, for all calls at once.

Rates are per minute and periods in seconds, so sixty times the charge is a whole number of 10^-8; tax, discount,
the division by sixty and the rounding are one multiplication, one addition and one division (``factors``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vosctl.rates.engine.factors import Division
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import BLOCKED, NO_DECK, NO_RATE
from vosctl.rates.engine.tariff import FIRST_TERM, TERM_FIELDS, TERM_NO_DECK, TERM_NO_RATE, Tariff

# Calls of more than thirty days are refused where CDRs are read, so products have a bound.
LONGEST_MS = 30 * 86_400_000
TERM_COLUMNS = ("blocked", "grace_ms", "free_ms", "start_ms", "cycle", "cycle_ms", "first_seconds", "first",
                "step", "connect", "minimum")  # fmt: skip
_OF_SECONDS = {"cycle", "first_seconds"}
_DIVISION = ("times", "addend", "divisor", "unit", "tied")
FACTOR_COLUMNS = (
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
        terms = self.terms()
        self._alike = {**_alike(terms.slice(FIRST_TERM)), **_alike(self.factors().slice(1))}
        self._varying = {
            name: terms[name].combine_chunks() for name in TERM_COLUMNS if name not in self._alike
        }
        self._blocks = self._alike.get("blocked") != 0
        self.taxed = any(factor.net != factor.total for factor in tariff.factors)

    def terms(self) -> Any:
        """Return the table of terms; those without a row come first and charge nothing."""
        pa, np = needed("pyarrow"), needed("numpy")
        rows = np.concatenate([np.zeros((FIRST_TERM, len(TERM_FIELDS) + 1), np.int64), self._tariff.terms])
        field = {name: rows[:, at] for at, name in enumerate(TERM_FIELDS)}
        cycle = np.maximum(field["cycle"], 1)
        return pa.table({
            "number": pa.array(np.arange(len(rows), dtype=np.int32)),
            "blocked": field["blocked"],
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
            "number": pa.array(range(len(self._tariff.factors)), pa.int32()),
            "source": pa.array([factor.deck or None for factor in self._tariff.factors], pa.string()),
        }
        columns |= _columns(pa, "total", [factor.total for factor in self._tariff.factors])
        columns |= _columns(pa, "net", [factor.net for factor in self._tariff.factors])
        columns |= _columns(pa, "exchange", [factor.exchange for factor in self._tariff.factors])
        return pa.table(columns)

    def taken(self, numbers: Any, *, seconds: bool) -> dict[str, Any]:
        """Return the columns in which terms differ, one value for each of the terms' ``numbers`` (Arrow).

        ``seconds``: also those that only the seconds billed are made of. Taking them here costs a seventh of a join.
        """
        return {
            name: column.take(numbers)
            for name, column in self._varying.items()
            if seconds or name not in _OF_SECONDS
        }

    def joins(self, own: str, tables: str, *, source: bool) -> str:
        """Return SQL that joins ``<tables>_factors`` to calls looked up for the candidate ``own``.

        Only columns in which rows differ are joined, and ``source`` only where it is wanted.
        """
        factors = [
            name for name in FACTOR_COLUMNS if name not in self._alike and (source or name != "source")
        ]
        return _join(own, "factor", f"{tables}_factors", factors)

    def alike_of_terms(self, own: str) -> dict[str, str]:
        """Return SQL of the terms that are the same in all rows, by the name of their column."""
        return {
            f"{own}_{name}": f"{self._alike[name]}::BIGINT" for name in TERM_COLUMNS if name in self._alike
        }

    def alike(self, own: str) -> Iterator[str]:
        """Yield SQL of the columns in which no rows differ, as constants."""
        for name, value in self._alike.items():
            yield f"{'null' if value is None else value}::BIGINT as {own}_{name}"

    def state(self, own: str) -> str:
        """Return SQL of why a call has no amounts, "" where it has."""
        none = f"when {own}_term = {TERM_NO_DECK} then '{NO_DECK}' when {own}_term = {TERM_NO_RATE} then '{NO_RATE}'"
        blocked = f" when {own}_blocked <> 0 then '{BLOCKED}'" if self._blocks else ""
        return f"case {none}{blocked} else '' end"

    def rated(self, own: str) -> str:
        """Return SQL of whether a call has amounts."""
        blocked = f" and {own}_blocked = 0" if self._blocks else ""
        return f"{own}_term >= {FIRST_TERM}{blocked}"

    def steps(self, own: str) -> str:
        """Return SQL of the cycles that began after the free seconds and the first period of ``<own>_ms``."""
        left = f"greatest({own}_ms - {own}_start_ms, 0)"
        return f"({left} + {own}_cycle_ms - 1) // {own}_cycle_ms as {own}_steps"

    def sixty(self, own: str) -> str:
        """Return SQL of sixty times the charge, given the steps."""
        kind = "BIGINT" if self.most <= _LIMIT else "HUGEINT"
        periods = f"{own}_first + {own}_steps * {own}_step::{kind}"
        return (
            f"case when {own}_ms <= {own}_grace_ms then 0::{kind} else greatest({own}_minimum,"
            f" {own}_connect + case when {own}_ms > {own}_free_ms then {periods} else 0 end) end as {own}_sixty"
        )

    def seconds(self, own: str) -> str:
        """Return SQL of the seconds that are billed, given the steps."""
        whole = f"{own}_first_seconds + {own}_steps * {own}_cycle"
        return f"case when {own}_ms <= greatest({own}_grace_ms, {own}_free_ms) then 0 else {whole} end"

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


def _alike(table: Any) -> dict[str, int | None]:
    """Return the columns of whole numbers in which all rows have one value, and the value; None is null."""
    found: dict[str, int | None] = {}
    for name in (*TERM_COLUMNS, *FACTOR_COLUMNS):
        if name in table.column_names and name != "source":
            values = table[name].unique().to_pylist()
            if len(values) <= 1 and (not values or values[0] is None or abs(int(values[0])) <= _LIMIT):
                found[name] = int(values[0]) if values and values[0] is not None else None if values else 0
    return found


def _join(own: str, key: str, table: str, columns: Sequence[str]) -> str:
    if not columns:
        return ""
    renamed = ", ".join(f"{column} as {own}_{column}" for column in columns)
    return (
        f" join (select number as {own}_{key}_number, {renamed} from {table}) {own}_{key}s"
        f" on {own}_{key}_number = looked_up.{own}_{key}"
    )


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
