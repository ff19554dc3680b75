"""Rates calls in bulk: batches stream out of DuckDB, through the lookup of rows in C, and into DuckDB's arithmetic.

Nothing is kept but a few batches, so memory does not grow with the calls; what a statement makes of the rated
calls is DuckDB's to hold, within its memory limit and the folder that it spills to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

from msgspec import Struct

from vosctl.rates.engine.amounts import Terms
from vosctl.rates.engine.months import Months
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import RATED
from vosctl.rates.engine.sql import literal
from vosctl.rates.engine.statement import DESTINATIONS, PREFIXES, Candidate, needed_calls, rated_query
from vosctl.rates.engine.tariff import Span, Tariff, moment_of
from vosctl.rates.lookup.keys import NONE
from vosctl.site.decks import Deck, Rates

BATCH = 1 << 17
_AHEAD = 4  # batches that wait for each thread: DuckDB takes them in bursts
_LOOKED_UP = "looked_up"
_NUMBERS = count(1)
_FEW = 8  # up to so many names are compared one by one faster than an enumeration finds them
_GROUP = Candidate("customer", "customer", "customer_deck")
_ACCOUNT = Candidate("account", "customer", "customer || ' (private)'")
_PHONE = Candidate("phone", "customer", "caller || ' (private)'")
_VENDOR = Candidate("vendor", "vendor", "vendor_deck")


class Survey(Struct, frozen=True):
    """What calls need of decks: the time they lie in, how many they are, the names of their decks."""

    span: Span
    count: int
    customer_decks: frozenset[str]
    vendor_decks: frozenset[str]


def survey(connection: Any, calls: str) -> Survey | None:
    """Return what the calls of a relation (SQL) need; None where there is no call."""
    first, last, calls_count, customers, vendors = connection.execute(
        "select epoch_us(min(started)), epoch_us(max(started)), count(*), list(distinct customer_deck),"
        f" list(distinct vendor_deck) from ({calls})"
    ).fetchone()
    if not calls_count:
        return None
    span = Span(moment_of(first), moment_of(last))
    decks = (frozenset(filter(None, names or ())) for names in (customers, vendors))
    return Survey(span, calls_count, *decks)


class Rating:
    """Decks made ready for calls; ``run`` lets statements read the rated calls."""

    def __init__(
        self, connection: Any, rates: Rates, needs: Survey, *, native: bool = True, threads: int = 2
    ) -> None:
        """Take the decks that calls need; VosctlError where their amounts do not fit whole numbers of 10^-8."""
        self._connection = connection
        self._threads = threads
        self._tables = f"vos_{next(_NUMBERS)}"
        accounts = [each.private for each in rates.accounts.values() if each.private]
        phones = [each.private for each in rates.phones.values() if each.private]
        groups = [deck for name, deck in rates.groups.items() if name in needs.customer_decks]
        vendors = [deck for name, deck in rates.clearing.items() if name in needs.vendor_decks]
        self._candidates = [_GROUP, *[_ACCOUNT] * bool(accounts), *[_PHONE] * bool(phones), _VENDOR]
        self._tariffs: dict[str, Tariff] = {}
        self._terms: dict[str, Terms] = {}
        sides: dict[str, Sequence[Deck]] = {"customer": [*groups, *accounts, *phones], "vendor": vendors}
        for side, decks in sides.items():
            self._tariffs[side] = Tariff(decks, rates.worth, needs.span, native=native)
            self._terms[side] = Terms(self._tariffs[side])
            self._keep(f"{self._tables}_{side}_factors", self._terms[side].factors())
        self._months = Months(rates, self._tariffs, self._terms)
        self.notes = tuple(self._months.notes(f"{needs.span.first:%Y-%m-%d}"))

    def run(
        self,
        calls: str,
        statement: Callable[[str], str],
        *,
        columns: Collection[str] = tuple(RATED),
        sides: Collection[str] = ("customer", "vendor"),
    ) -> Any:
        """Run the SQL that ``statement`` makes of the name of the rated calls, and return its result as an Arrow table.

        ``calls`` is SQL of a relation with the columns ``CALLS``, which is read once. Of ``RATED`` only
        ``columns`` are worked out, of ``sides`` only those.
        """
        candidates = [each for each in self._candidates if each.side in sides]
        month = self._months.columns(candidates)
        reader = self._looked_up(calls, {*columns, *month}, candidates, monthly=bool(month))
        query = rated_query(columns, candidates, self._terms, self._tables, monthly=bool(month))
        if month:
            return self._by_month(reader, candidates, statement(f"({query})"))
        self._connection.register(_LOOKED_UP, reader)
        try:
            return self._connection.execute(statement(f"({query})")).fetch_arrow_table()
        finally:
            self._connection.unregister(_LOOKED_UP)

    def _by_month(self, reader: Any, candidates: Sequence[Candidate], statement: str) -> Any:
        """Run a statement over calls whose prices depend on those before them: all are kept while it runs."""
        kept = f"{self._tables}_calls"
        self._connection.register(_LOOKED_UP, reader)
        self._connection.execute(f"create or replace temp table {kept} as select * from {_LOOKED_UP}")
        self._connection.unregister(_LOOKED_UP)
        view = self._months.query(kept, candidates)
        self._connection.execute(f"create or replace temp view {_LOOKED_UP} as {view}")
        try:
            return self._connection.execute(statement).fetch_arrow_table()
        finally:
            self._connection.execute(f"drop view {_LOOKED_UP}")
            self._connection.execute(f"drop table {kept}")

    def _keep(self, name: str, table: Any) -> None:
        self._connection.register("given", table)
        self._connection.execute(f"create or replace temp table {name} as select * from given")
        self._connection.unregister("given")

    def _looked_up(
        self, calls: str, columns: Collection[str], candidates: Sequence[Candidate], *, monthly: bool
    ) -> Any:
        """Return the calls with each candidate's row as a stream of Arrow batches."""
        pa = needed("pyarrow")
        wanted = needed_calls(columns)
        numbers = [_deck_number(each, list(self._tariffs[each.side].numbers)) for each in candidates]
        query = (
            f"select {', '.join(wanted)}, coalesce(callee, '') as vos_callee, epoch_us(started) as vos_moment,"
            f" {', '.join(numbers)} from ({calls})"
        )
        source = self._connection.cursor().execute(query).fetch_record_batch(BATCH)

        def look_up(batch: Any) -> Any:
            arrays = [batch.column(name) for name in wanted]
            names = list(wanted)
            text = batch.column("vos_callee")
            moments = batch.column("vos_moment").to_numpy()
            for each in candidates:
                deck_of = batch.column(f"{each.name}_deck_number").to_numpy()
                found = _looked_up(self._tariffs[each.side], deck_of, moments, text, columns)
                seconds = monthly or f"{each.side}_seconds" in columns
                found |= self._terms[each.side].taken(found["term"], seconds=seconds)
                names += [f"{each.name}_{name}" for name in found]
                arrays += found.values()
            return pa.RecordBatch.from_arrays(arrays, names=names)

        schema = look_up(pa.RecordBatch.from_pylist([], schema=source.schema)).schema
        return pa.RecordBatchReader.from_batches(schema, _in_parallel(look_up, source, self._threads))


def _looked_up(
    tariff: Tariff, deck_of: Any, moments: Any, text: Any, columns: Collection[str]
) -> dict[str, Any]:
    """Return the columns of one candidate that the statement needs of each call's row."""
    pa = needed("pyarrow")
    rows = tariff.find(deck_of, moments, text)
    found = {
        "term": pa.array(tariff.terms_of(rows, deck_of)),
        "factor": pa.array(tariff.factors_of(deck_of)),
    }
    if PREFIXES.intersection(columns):
        found["length"] = pa.array(tariff.lengths_of(rows))
    if DESTINATIONS.intersection(columns):
        codes = pa.array(tariff.destinations_of(rows))
        found["destination"] = pa.DictionaryArray.from_arrays(codes, tariff.destinations)
    return found


def _deck_number(candidate: Candidate, decks: Sequence[str]) -> str:
    """Return SQL of the number of a call's deck, ``NONE`` for none."""
    own = f"as {candidate.name}_deck_number"
    if not decks:
        return f"{NONE}::uinteger {own}"
    if len(decks) <= _FEW:
        whens = " ".join(f"when {literal(name)} then {number}" for number, name in enumerate(decks))
        return f"(case {candidate.deck} {whens} else {NONE} end)::uinteger {own}"
    names = ", ".join(literal(name) for name in decks)
    return (
        f"coalesce(enum_code(try_cast({candidate.deck} as enum({names})))::uinteger, {NONE}::uinteger) {own}"
    )


def _in_parallel(work: Callable[[Any], Any], batches: Any, threads: int) -> Iterator[Any]:
    """Yield ``work`` of each batch, in order, a few batches ahead: the lookup lets go of Python's lock."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
