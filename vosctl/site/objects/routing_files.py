"""Reads what was measured, from CSV: vendors' statistics by prefix, and the traffic that customers send."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from vosctl.site.routing import Quality, Traffic

_PREFIX = re.compile(r"[0-9]{0,20}")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_ALL = 100
STATISTICS = ("vendor", "prefix", "asr", "acd")
TRAFFIC = ("prefix", "minutes")


class TableError(Exception):
    """A file of statistics or traffic that cannot be used: what is wrong, with the line, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_statistics(path: Path) -> Mapping[str, Mapping[str, Quality]]:
    """Return quality by vendor's gateway and prefix, from the columns vendor, prefix, asr (per cent), acd (seconds).

    Raises TableError.
    """
    found: dict[str, dict[str, Quality]] = {}
    for line, row in _rows(path, STATISTICS):
        place = f"{path.name}, line {line}"
        asr, acd = _amount(row["asr"], place, "asr"), _amount(row["acd"], place, "acd")
        if asr > _ALL:
            raise TableError(f"{place}: an ASR of {asr} per cent", "asr is 0 to 100")
        found.setdefault(row["vendor"], {})[_prefix(row["prefix"], place)] = Quality(asr, acd)
    return found


def read_traffic(path: Path) -> tuple[Traffic, ...]:
    """Return the minutes by prefix, from the columns prefix, minutes and, where there is one, group.

    Raises TableError.
    """
    found = []
    for line, row in _rows(path, TRAFFIC):
        place = f"{path.name}, line {line}"
        minutes = _amount(row["minutes"], place, "minutes")
        found.append(Traffic(row.get("group") or None, _prefix(row["prefix"], place), minutes))
    return tuple(found)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise TableError(
            f"{path} cannot be read: {reason}", "the path starts from the site's folder"
        ) from None
    reader = csv.DictReader(text.splitlines())
    heading = [name.strip().lower() for name in reader.fieldnames or ()]
    missing = [name for name in columns if name not in heading]
    if missing:
        raise TableError(
            f"{path.name} has no column {', '.join(missing)}", f"its first line is: {','.join(columns)}"
        )
    reader.fieldnames = heading
    for row in reader:
        yield (
            reader.line_num,
            {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)},
        )


def _prefix(text: str, place: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise TableError(f"{place}: '{text}' is no prefix", "a prefix is 0 to 20 digits; empty is any number")
    return text


def _amount(text: str, place: str, column: str) -> Decimal:
    if not _AMOUNT.fullmatch(text):
        raise TableError(f"{place}: {column} '{text}' is no number", "write digits with a decimal point")
    return Decimal(text)
