"""Writes rates as a clean deck file: headings are our own names, so that it is read without a mapping."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from vosctl.errors import UsageError, VosctlError
from vosctl.rates.files.layout import FIELDS
from vosctl.site.decks import Rate

FORMATS = ("csv", "xlsx", "parquet", "yaml")
_ALWAYS = frozenset({"prefix", "rate", "cycle"})
_INSTALL = "pip install 'vosctl[rates]'"
_MONEY = frozenset({"rate", "first_rate", "connect", "minimum"})
_MOMENTS = frozenset({"valid_from", "valid_until"})
_CYCLE = 60


def cells(rate: Rate) -> dict[str, Any]:
    """Return a rate's cells by field; what is the default, or says nothing, is left out."""
    found: dict[str, Any] = {"prefix": rate.prefix or "*", "rate": rate.rate, "cycle": rate.cycle}
    if rate.first_seconds:
        found["first_seconds"] = rate.first_seconds
        found["first_rate"] = rate.first_rate
    for name in (
        "destination",
        "connect",
        "minimum",
        "grace",
        "free_seconds",
        "section",
        "valid_from",
        "valid_until",
        "blocked",
    ):
        if value := getattr(rate, name):
            found[name] = value
    return found


def csv_text(rates: Sequence[Rate]) -> str:
    """Return the rates as CSV with the columns that some of them need."""
    fields = _used(rates)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    for rate in rates:
        row = cells(rate)
        writer.writerow([_text(row.get(name)) for name in fields])
    return stream.getvalue()


def yaml_text(rates: Sequence[Rate]) -> str:
    """Return the rates as ``rows:`` in YAML; raise UsageError where a prefix has several."""
    lines = ["rows:"]
    seen: dict[str, Rate] = {}
    for rate in rates:
        if seen.setdefault(rate.prefix, rate) is not rate or rate.section:
            raise UsageError(
                f"prefix {rate.prefix or '(default)'} has several rows, which one row in YAML cannot say",
                hint="give --at TIME for those that hold then, or --format csv",
            )
        row = {("from" if name == "valid_from" else "until" if name == "valid_until" else name): value
               for name, value in cells(rate).items() if name != "prefix" and (name, value) != ("cycle", _CYCLE)}  # fmt: skip
        inside = ", ".join(f"{name}: {_yaml(value)}" for name, value in row.items())
        lines.append(f'  "{rate.prefix}": {{{inside}}}')
    return "\n".join(lines) + "\n"


def write_xlsx(rates: Sequence[Rate], path: Path) -> None:
    """Write an XLSX file: prefixes as text, prices as numbers, moments as text in UTC."""
    try:
        from openpyxl import Workbook  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise VosctlError("writing XLSX needs openpyxl", hint=_INSTALL) from error
    fields = _used(rates)
    book = Workbook(write_only=True)
    sheet = book.create_sheet("rates")
    sheet.append(list(fields))
    for rate in rates:
        row = cells(rate)
        sheet.append([_spreadsheet(row.get(name)) for name in fields])
    book.save(path)


def write_parquet(rates: Sequence[Rate], path: Path) -> None:
    """Write a Parquet file: money as decimal(18, 8), moments in UTC."""
    try:
        import pyarrow as pa  # noqa: PLC0415  an optional package
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise VosctlError("writing Parquet needs pyarrow", hint=_INSTALL) from error
    rows = [cells(rate) for rate in rates]
    columns = {name: pa.array([row.get(name) for row in rows], _arrow(pa, name)) for name in _used(rates)}
    parquet.write_table(pa.table(columns), path)


def _used(rates: Iterable[Rate]) -> tuple[str, ...]:
    used = set(_ALWAYS)
    for rate in rates:
        used.update(cells(rate))
    return tuple(name for name in FIELDS if name in used)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _text(value)


def _spreadsheet(value: Any) -> Any:
    return (
        value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else _text(value) or None
    )


def _arrow(pa: Any, name: str) -> Any:
    if name in _MONEY:
        return pa.decimal128(18, 8)
    if name in _MOMENTS:
        return pa.timestamp("us", tz="UTC")
    if name == "blocked":
        return pa.bool_()
    return pa.string() if name in {"prefix", "destination", "section"} else pa.int32()


def mapping_text(kind: str, decks: Mapping[str, Mapping[str, object]]) -> str:
    """Return the YAML to save for decks by name: ``kind`` is groups or clearing, a deck has file, columns and so on."""
    lines = ["rates:", f"  {kind}:"]
    for name, entries in decks.items():
        lines.append(f"    {name}:")
        lines += _entries(entries, "      ")
    return "\n".join(lines) + "\n"


def _entries(entries: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _entries(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"


_WRITERS: Mapping[str, Callable[[Sequence[Rate], Path], None]] = {
    "xlsx": write_xlsx,
    "parquet": write_parquet,
    "csv": lambda rates, path: _write(path, csv_text(rates)),
    "yaml": lambda rates, path: _write(path, yaml_text(rates)),
}


def write_file(form: str, rates: Sequence[Rate], path: Path) -> None:
    """Write rates to a file in one of ``FORMATS``, in a folder that is made where it is missing.

    Raises VosctlError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[form](rates, path)
    except OSError as error:
        raise VosctlError(f"{path}: {error.strerror or error}", hint="choose another file") from error


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
