"""Reads CDR files into a table of calls, and names what it refuses by file and line."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vosctl.errors import UsageError
from vosctl.rates.cdr.expressions import fields, literal, problems, quoted
from vosctl.rates.cdr.mapping import CdrMapping, columns_of
from vosctl.rates.engine.packages import needed
from vosctl.rates.engine.rated import CALLS

TABLE = "calls"
SHOWN = 1000
_PARQUET = {".parquet", ".pq"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no call: line (CSV) or row (Parquet) of the file, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


@dataclass
class Loaded:
    """What was read: calls in the table ``calls``, how many rows were refused, the first thousand of those a file."""

    calls: int = 0
    refused: int = 0
    examples: list[Refused] = field(default_factory=list)


def connect(folder: Path, *, memory: str = "2GB", threads: int | None = None) -> Any:
    """Return a DuckDB whose data lies and spills in ``folder``; it takes ``memory`` at most."""
    connection = needed("duckdb").connect(str(folder / "calls.duckdb"))
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
        names = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        paths = [Path(name) for name in names if Path(name).is_file()]
        if not paths:
            raise UsageError(f"no CDRs: {pattern} is no file", hint="CSV or Parquet files, or a glob of them")
        found.update(dict.fromkeys(paths))
    return list(found)


def read_calls(connection: Any, files: Sequence[Path], mapping: CdrMapping | None = None) -> Loaded:
    """Read CSV and Parquet files into the table ``calls`` (columns ``CALLS``); UsageError for a file that is none."""
    mapping = mapping or CdrMapping()
    created = ", ".join(f"{name} {kind}" for name, kind in CALLS.items())
    connection.execute(f"create or replace table {TABLE} ({created})")
    loaded = Loaded()
    zone = connection.execute("select current_setting('TimeZone')").fetchone()[0]
    connection.execute(f"set TimeZone = {literal(mapping.timezone)}")
    try:
        for path in files:
            _read(connection, path, mapping, loaded)
    finally:
        connection.execute(f"set TimeZone = {literal(zone)}")
    return loaded


def _read(connection: Any, path: Path, mapping: CdrMapping, loaded: Loaded) -> None:
    parquet = path.suffix.lower() in _PARQUET
    source = f"read_parquet({literal(str(path))})" if parquet else _csv(path, mapping)
    try:
        described = connection.execute(f"describe select * from {source}").fetchall()
        types = {name: kind for name, kind, *_ in described}
        columns = columns_of(str(path), list(types), mapping)
        parsed = fields(columns, types, mapping)
        made = ", ".join(f"{sql} as {name}" for name, sql in parsed.items())
        kept = ", ".join(f"{quoted(name)} as given_{at}" for at, name in enumerate(types))
        rows = f"select {made}, {kept} from {source}"
        _insert(connection, rows, path, columns, types, mapping, loaded, parquet=parquet)
    except needed("duckdb").Error as error:
        raise UsageError(f"{path}: cannot be read as {'Parquet' if parquet else 'CSV'}: {error}") from error
