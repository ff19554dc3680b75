"""Reads CDR files as one relation of calls in DuckDB: nothing is kept in memory, no row is dropped unsaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vosctl.errors import VosctlError
from vosctl.rates.cdr.mapping import CdrFormat, headings, is_own
from vosctl.rates.cdr.parties import Parties, Party
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import CALLS, UNIT
from vosctl.rates.engine.rating import text

_SHOWN = 5
_NUMBER_SIZE = 20


@dataclass(frozen=True, slots=True)
class Calls:
    """SQL of the relation of calls, how many rows were read, and those that are none: row number and why."""

    query: str
    rows: int
    refused: int
    first: tuple[tuple[int, str], ...]


def connect(*, memory: str = "", threads: int = 0) -> Any:
    """Return a DuckDB of its own in memory; it fetches nothing from anywhere."""
    settings = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    settings |= {"memory_limit": memory} if memory else {}
    settings |= {"threads": str(threads)} if threads else {}
    return needed("duckdb").connect(config=settings)


def read_calls(connection: Any, files: Sequence[Path], how: CdrFormat, known: Parties | None = None) -> Calls:
    """Return the calls of CSV and Parquet files; what the files do not say of parties, ``known`` does.

    Raises VosctlError where a file cannot be read, or lacks a column that a call must have.
    """
    source = _source(files, how)
    where = files[0].name
    try:
        found = connection.execute(f"select * from {source} limit 0").description
    except needed("duckdb").Error as error:
        raise VosctlError(
            f"{where} cannot be read: {str(error).splitlines()[0]}", hint="CSV or Parquet"
        ) from error
    names = [column[0] for column in found]
    if is_own(names):
        count = connection.execute(f"select count(*) from {source}").fetchone()[0]
        return Calls(_with_parties(f"select * from {source}", known), count, 0, ())
    columns = headings(names, how, where)
    connection.execute(f"set TimeZone = {text(how.zone)}")
    parsed = f"select row_number() over () as vos_row, {_parsed(columns, how)} from {source}"
    wrong = f"select vos_row, {_WRONG} as why from ({parsed})"
    rows, refused = connection.execute(f"select count(*), count(why) from ({wrong})").fetchone()
    first = connection.execute(
        f"select * from ({wrong}) where why is not null order by 1 limit {_SHOWN}"
    ).fetchall()
    good = f"select {', '.join(CALLS)} from (select {_parsed(columns, how)} from {source}) where {_WRONG} is null"
    heading_line = 0 if source.startswith("read_parquet") else 1
    return Calls(
        _with_parties(good, known), rows, refused, tuple((row + heading_line, why) for row, why in first)
    )


_WRONG = (
    "case when started is null then 'its beginning is no time'"
    " when callee is null or callee = '' then 'it has no called number'"
    " when duration_ms is null then 'its duration is no number'"
    " when duration_ms < 0 then 'its duration is negative' end"
)


def _source(files: Sequence[Path], how: CdrFormat) -> str:
    kinds = {path.suffix.lower() in {".parquet", ".pq"} for path in files}
    if len(kinds) > 1:
        raise VosctlError("CSV and Parquet cannot be read as one", hint="give files of one kind")
    names = ", ".join(text(str(path)) for path in files)
    if kinds == {True}:
        return f"read_parquet([{names}], union_by_name = true)"
    separator = f", delim = {text(how.separator)}" if how.separator else ""
    return f"read_csv([{names}], header = true, all_varchar = true, union_by_name = true{separator})"


def _parsed(columns: Mapping[str, str], how: CdrFormat) -> str:
    """Return SQL of all columns of a call, made of those that a file has; what is not understood is null."""
    made = {name: _raw(columns, name) for name in CALLS}
    made["started"] = _moment(_raw(columns, "started"), how)
    made["duration_ms"] = _milliseconds(columns, "duration_ms", "duration")
    made["pdd_ms"] = _milliseconds(columns, "pdd_ms", "pdd")
    made["caller"], made["callee"] = (_digits(columns, name) for name in ("caller", "callee"))
    answered = f"case when {made['duration_ms']} > 0 then 200 end"
    made["cause"] = f"try_cast({_raw(columns, 'cause')} as integer)" if "cause" in columns else answered
    for name in ("billed", "cost"):
        made[name] = f"try_cast(try_cast({_raw(columns, name)} as decimal(24, 8)) * {UNIT} as bigint)"
    return ", ".join(f"({sql})::{CALLS[name]} as {name}" for name, sql in made.items())


def _raw(columns: Mapping[str, str], name: str) -> str:
    """Return SQL of a column's text, blanks around it taken away; null where a file does not have it."""
    if name not in columns:
        return "null::varchar"
    heading = columns[name].replace('"', '""')
    return f"nullif(trim(\"{heading}\"::varchar), '')"


def _digits(columns: Mapping[str, str], name: str) -> str:
    r"""Return SQL of a number's digits: ``+`` and the international 00 are no part of E.164, nor is a SIP address."""
    user = f"regexp_extract({_raw(columns, name)}, '^(?:sips?:|tel:)?\\+?(?:00)?([0-9][0-9 ().-]*)', 1)"
    return f"left(regexp_replace({user}, '[^0-9]', '', 'g'), {_NUMBER_SIZE})"


def _milliseconds(columns: Mapping[str, str], own: str, seconds: str) -> str:
    if own in columns:
        return f"try_cast({_raw(columns, own)} as bigint)"
    return f"try_cast(try_cast({_raw(columns, seconds)} as decimal(18, 3)) * 1000 as bigint)"


def _moment(raw: str, how: CdrFormat) -> str:
    if how.time_format:
        stamp = f"try_strptime({raw}, {text(how.time_format)})"
        return f"timezone('UTC', timezone({text(how.zone)}, {stamp}))"
    since = f"case length({raw}) when 13 then make_timestamp(try_cast({raw} as bigint) * 1000) else make_timestamp(try_cast({raw} as bigint) * 1000000) end"
    return (
        f"case when regexp_full_match({raw}, '[0-9]{{9,10}}|[0-9]{{13}}') then {since}"
        f" else timezone('UTC', try_cast({raw} as timestamptz)) end"
    )


def _with_parties(query: str, known: Parties | None) -> str:
    """Return calls whose customer, vendor, decks and agent are filled in where the records leave them open."""
    if known is None:
        return query
    made = {name: name for name in CALLS}
    customer, vendor = ("customer_gateway", known.customers), ("vendor_gateway", known.vendors)
    made["customer"] = _filled("customer", [(*customer, "name")], last="customer_gateway")
    account = ("customer", known.accounts)
    made["customer_deck"] = _filled("customer_deck", [(*account, "deck"), (*customer, "deck")])
    made["agent"] = _filled("agent", [(*account, "agent"), (*customer, "agent")])
    made["vendor"] = _filled("vendor", [(*vendor, "name")], last="vendor_gateway")
    named = ("vendor", known.vendors)
    made["vendor_deck"] = _filled("vendor_deck", [(*vendor, "deck"), (*named, "deck")])
    return f"select {', '.join(f'{sql} as {name}' for name, sql in made.items())} from ({query})"


def _filled(own: str, sources: Sequence[tuple[str, Mapping[str, Party], str]], last: str = "") -> str:
    """Return SQL of a column, else of what is known by another one, else of ``last``."""
    parts = [own]
    for column, table, field in sources:
        values = {name: getattr(party, field) for name, party in table.items() if getattr(party, field)}
        if values:
            pairs = ", ".join(f"{text(name)}: {text(value)}" for name, value in values.items())
            parts.append(f"(map {{{pairs}}})[{column}]")
    if last:
        parts.append(last)
    return f"coalesce({', '.join(parts)})" if len(parts) > 1 else own
