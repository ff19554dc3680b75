"""A deck file as rows of text, whatever its format; a row knows its line in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from vosctl.rates.files.reading import DeckFileError

Row = tuple[int, Sequence[str]]
_SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_LOOKED_AT = 60
_INSTALL = "pip install 'vosctl[rates]'"
_FIELD_LIMIT = 1 << 20


class Table(Struct, frozen=True):
    """The rows of a file in order, each with its line (in XLSX and Parquet its row, from 1).

    ``found`` is how it was read, in the words of the mapping. A ``heading`` is that of a format which
    has one apart from the rows (Parquet).
    """

    rows: Sequence[Row]
    found: Mapping[str, str]
    heading: Sequence[str] | None = None


def read_table(path: Path, *, separator: str = "", encoding: str = "", sheet: str = "") -> Table:
    """Return the rows of a CSV, XLSX or Parquet file; "" has separator, encoding and sheet found out.

    Raises DeckFileError where it cannot be read.
    """
    kind = path.suffix.lower()
    try:
        if kind in {".xlsx", ".xlsm"}:
            return _xlsx(path, sheet)
        if kind in {".parquet", ".pq"}:
            return _parquet(path)
        return _csv(path, _NAMES.get(separator, separator), encoding)
    except OSError as error:
        raise DeckFileError(
            f"{path}: {error.strerror or error}", hint="file: is a path from the site's folder"
        ) from error


def table_of(path: Path, mapping: Mapping[str, object]) -> Table:
    """Return the rows of a file that is read as a mapping says, of which separator, encoding and sheet count here."""
    separator, encoding, sheet = (str(mapping.get(key) or "") for key in ("separator", "encoding", "sheet"))
    return read_table(path, separator=separator, encoding=encoding, sheet=sheet)


def is_blank(cells: Sequence[str]) -> bool:
    """Return whether no cell of a row has text."""
    return not any(cell and not cell.isspace() for cell in cells)


def _csv(path: Path, separator: str, encoding: str) -> Table:
    data = path.read_bytes()
    text, used = _decoded(path, data, encoding)
    if separator and len(separator) != 1:
        raise DeckFileError(f"separator: '{separator}' is not one character", hint="as ',' or ';', or tab")
    mark = separator or _separator(text)
    return Table(
        list(_records(path, text, mark)), {"separator": "tab" if mark == "\t" else mark, "encoding": used}
    )


def _decoded(path: Path, data: bytes, encoding: str) -> tuple[str, str]:
    for name in (encoding,) if encoding else _likely(data):
        try:
            return data.decode(name), name
        except (UnicodeDecodeError, LookupError):
            continue
    if encoding:
        raise DeckFileError(f"{path} is not in {encoding}", hint="leave encoding out to have it found out")
    raise DeckFileError(f"{path} is no text", hint="deck files are CSV, XLSX or Parquet; name them so")


def _likely(data: bytes) -> Iterator[str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield "utf-16"
    elif b"\0" in data[:4096]:
        even, odd = data[0:4096:2].count(0), data[1:4096:2].count(0)
        if max(even, odd) > len(data[:4096]) // 8:  # half of the bytes of Latin text in UTF-16 are zero
            yield "utf-16-le" if odd > even else "utf-16-be"
    else:
        yield "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"
        yield "windows-1252"


def _separator(text: str) -> str:
    """Return the separator with which most of the first lines have equally many cells, the more the better."""
    head = "\n".join(text[: 1 << 16].splitlines()[:_LOOKED_AT])

    def score(mark: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(io.StringIO(head, newline=""), delimiter=mark) if row]
        return max(((widths.count(width), width) for width in {*widths} if width > 1), default=(0, 0))

    return max(_SEPARATORS, key=score)


def _records(path: Path, text: str, mark: str) -> Iterator[Row]:
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DeckFileError(f"{path}:{line}: {error}", hint="is a quote left open there?") from error


def _xlsx(path: Path, sheet: str) -> Table:
    try:
        from openpyxl import load_workbook  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise DeckFileError(f"{path}: reading XLSX needs openpyxl", hint=_INSTALL) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except OSError:
        raise
    except Exception as error:  # a broken file raises whatever the parsers of ZIP and XML do
        raise DeckFileError(f"{path} is no XLSX file: {error}", hint="save it as XLSX or CSV") from error
    try:
        if sheet and sheet not in book.sheetnames:
            raise DeckFileError(
                f"{path} has no sheet '{sheet}'", hint=f"its sheets: {', '.join(book.sheetnames)}"
            )
        for page in [book[sheet]] if sheet else book.worksheets:
            page.reset_dimensions()
            rows = [
                (line, [as_text(cell) for cell in row])
                for line, row in enumerate(page.iter_rows(values_only=True), 1)
            ]
            if any(not is_blank(cells) for _, cells in rows):
                return Table(rows, {"sheet": page.title})
        return Table([], {"sheet": sheet})
    finally:
        book.close()


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise DeckFileError(f"{path}: reading Parquet needs pyarrow", hint=_INSTALL) from error
    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise DeckFileError(f"{path} is no Parquet file: {error}") from error
    columns = [[as_text(value) for value in column.to_pylist()] for column in table.columns]
    rows: list[Row] = [(line, cells) for line, cells in enumerate(zip(*columns, strict=True), 1)]
    return Table(rows, {}, heading=table.column_names)


def as_text(value: Any) -> str:
    """Return a typed cell as the text that says the same: exact numbers, ISO dates."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1 << 53 else f"{Decimal(repr(value)):f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        plain = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if plain else value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, date) else str(value)
