"""Reads CDR files into a table of calls, and names what it refuses by file and line."""

from __future__ import annotations

import csv
import glob
import gzip
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from vosctl.errors import UsageError
from vosctl.rates.cdr.expressions import fields, problems
from vosctl.rates.cdr.mapping import CdrFormat, columns_of
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import CALLS
from vosctl.rates.engine.sql import literal, quoted

TABLE = "calls"
SHOWN = 1000
_SEPARATORS = (",", ";", "\t", "|")
_PARQUET = {".parquet", ".pq"}


class Refused(Struct, frozen=True):
    """A row that is no call: line (CSV) or row (Parquet) of the file, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


class Loaded(Struct, dict=True):
    """What was read: calls in the table ``calls``, how many rows were refused, the first thousand of those a file."""

    calls: int = 0
    refused: int = 0
    examples: list[Refused] = field(default_factory=list)


def connect(folder: Path, *, memory: str = "2GB", threads: int | None = None) -> Any:
    """Return a DuckDB whose data lies and spills in ``folder``; it takes ``memory`` at most and fetches nothing."""
    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    connection = needed("duckdb").connect(str(folder / "calls.duckdb"), config=offline)
    connection.execute(f"set memory_limit = {literal(memory)}")
    connection.execute(f"set temp_directory = {literal(str(folder / 'spilled'))}")
    connection.execute("set preserve_insertion_order = true")
    if threads is not None:
        connection.execute(f"set threads = {threads}")
    return connection


def files_of(patterns: Sequence[str]) -> list[Path]:
    """Return the files that paths and globs name, sorted, each once; UsageError for one that names none."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  an absolute pattern is one too
        paths = [Path(name) for name in names if Path(name).is_file()]
        if not paths:
            raise UsageError(f"no CDRs: {pattern} is no file", hint="CSV or Parquet files, or a glob of them")
        found.update(dict.fromkeys(paths))
    return list(found)


def read_calls(connection: Any, files: Sequence[Path], mapping: CdrFormat | None = None) -> Loaded:
    """Read CSV and Parquet files into the view ``calls`` (columns ``CALLS``); UsageError for a file that is none."""
    mapping = mapping or CdrFormat()
    names = ", ".join(f"{name} {kind}" for name, kind in CALLS.items())
    connection.execute(
        f"create or replace table read_calls ({names}, problem varchar, file integer, row bigint)"
    )
    connection.execute(
        f"create or replace view {TABLE} as select {', '.join(CALLS)} from read_calls where problem is null"
    )
    zone = connection.execute("select current_setting('TimeZone')").fetchone()[0]
    connection.execute(f"set TimeZone = {literal(mapping.zone)}")
    loaded = Loaded()
    try:
        for number, path in enumerate(files):
            _read(connection, path, number, mapping, loaded)
    finally:
        connection.execute(f"set TimeZone = {literal(zone)}")
    loaded.calls = connection.execute(f"select count(*) from {TABLE}").fetchone()[0]
    return loaded


def _read(connection: Any, path: Path, number: int, mapping: CdrFormat, loaded: Loaded) -> None:
    parquet = path.suffix.lower() in _PARQUET
    source = f"read_parquet({literal(str(path))})" if parquet else _csv(path, mapping)
    try:
        described = connection.execute(f"describe select * from {source}").fetchall()
        _drop_rejects(connection)
        rows = _rows(path, {name: kind for name, kind, *_ in described}, source, mapping)
        connection.execute(f"insert into read_calls select *, {number}, row_number() over () from ({rows})")
        cut = [] if parquet else _rejects(connection)
        _drop_rejects(connection)
    except needed("duckdb").Error as error:
        raise UsageError(f"{path}: cannot be read as {'Parquet' if parquet else 'CSV'}: {error}") from error
    loaded.examples += [Refused(str(path), line, why) for line, why in cut[:SHOWN]]
    loaded.refused += len(cut)
    bad = connection.execute(
        "select count(*), list(row), list(problem) from (select *, row_number() over (order by row) as nth from read_calls"
        f" where file = {number} and problem is not null) where nth <= {SHOWN}"
    ).fetchone()
    refused = connection.execute(
        f"select count(*) from read_calls where file = {number} and problem is not null"
    )
    loaded.refused += refused.fetchone()[0]
    lines = sorted(line for line, _ in cut)
    for row, why in sorted(zip(bad[1] or (), bad[2] or (), strict=True)):
        loaded.examples.append(Refused(str(path), row if parquet else _line(row, lines), why))


def _rows(path: Path, types: Mapping[str, str], source: str, mapping: CdrFormat) -> str:
    """Return the query of a file's rows as calls, each with its problem or null."""
    headings = columns_of(str(path), list(types), mapping)
    alias = {heading: f"given_{at}" for at, heading in enumerate(types)}
    columns = {name: alias[heading] for name, heading in headings.items()}
    parsed = fields(columns, {alias[heading]: kind for heading, kind in types.items()}, mapping)
    given = ", ".join(f"{quoted(heading)} as {name}" for heading, name in alias.items())
    made = ", ".join(f"{parsed[name]} as {name}" for name in CALLS)
    told = {name: heading for heading, name in alias.items()}
    whens = "".join(
        f" when {condition} then {literal(told[column] + ' ')} || chr(39) || coalesce({column}::varchar, '') || {literal(chr(39) + ' ' + why)}"
        for condition, column, why in problems(columns, mapping)
    )
    inner = f"select *, {made} from (select {given} from {source})"
    return f"select {', '.join(CALLS)}, case{whens} end as problem from ({inner})"


def _csv(path: Path, mapping: CdrFormat) -> str:
    """Return SQL that reads a CSV file as text, lines that are no rows aside.

    Nothing is guessed from the rows: a damaged line must not change what others mean.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
    separator = mapping.separator or max(_SEPARATORS, key=first.count)
    names: dict[str, None] = {}
    for heading in next(csv.reader([first.rstrip("\r\n")], delimiter=separator), []):
        names[f"{heading} again" if heading in names else heading or f"column {len(names) + 1}"] = None
    columns = ", ".join(f"{literal(name)}: 'varchar'" for name in names)
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, columns = {{{columns}}}, header = true, quote = '\"',"
        f" escape = '\"', null_padding = true, store_rejects = true, parallel = false, delim = {literal(separator)})"
    )


def _rejects(connection: Any) -> list[tuple[int, str]]:
    """Return the lines that were no rows, in order, each once, and why."""
    try:
        found = connection.execute(
            "select line, any_value(error_message) from reject_errors group by line order by line"
        )
    except needed("duckdb").CatalogException:
        return []
    return [(line, f"is no row: {why.splitlines()[0]}") for line, why in found.fetchall()]


def _drop_rejects(connection: Any) -> None:
    for name in ("reject_errors", "reject_scans"):
        connection.execute(f"drop table if exists {name}")


def _line(row: int, cut: Sequence[int]) -> int:
    """Return the line of the n-th row that was read: the heading and lines that were no rows come before it."""
    line = row + 1
    while (moved := row + 1 + bisect_right(cut, line)) != line:
        line = moved
    return line
