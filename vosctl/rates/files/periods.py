"""Billing increments and numbers of seconds as vendors write them: 60/60, 30-6, 1+1, "per second"."""

from __future__ import annotations

import re
from functools import lru_cache

from vosctl.rates.files.cells import CellError, quoted, tidy

LONGEST = 86_400
_WORDS = {"per second": (1, 1), "per sec": (1, 1), "second": (1, 1), "per minute": (60, 60), "per min": (60, 60), "minute": (60, 60)}  # fmt: skip
_UNIT = r" ?(?P<unit{}>s|sec|secs|seconds?|m|min|mins|minutes?)?\.?"
_PAIR = re.compile(
    r"(?i)(?P<first>[0-9]{1,5})" + _UNIT.format(1) + r" ?[/+:;|\\-] ?(?P<next>[0-9]{1,5})" + _UNIT.format(2)
)
_ONE = re.compile(r"(?i)(?P<first>[0-9]{1,5})(?:\.0+)?" + _UNIT.format(1))


@lru_cache(maxsize=1 << 10)
def read_increment(text: str) -> tuple[int, int]:
    """Return first period and cycle in seconds of a cell as ``30/6``; ``6`` is 6/6. Raises CellError."""
    clean = tidy(text)
    if clean.casefold() in _WORDS:
        return _WORDS[clean.casefold()]
    pair = _PAIR.fullmatch(clean)
    if pair:
        first, following = _seconds(pair["first"], pair["unit1"]), _seconds(pair["next"], pair["unit2"])
    else:
        one = _ONE.fullmatch(clean)
        first = following = _seconds(one["first"], one["unit1"]) if one else 0
    if not 1 <= following <= LONGEST or first > LONGEST:
        raise CellError(f"{quoted(text)} is no billing increment; write seconds, as 60/60 or 30/6")
    return first, following


@lru_cache(maxsize=1 << 10)
def read_seconds(text: str) -> int:
    """Return the seconds of a cell as ``60``, ``60s`` or ``1 min``; raise CellError for anything else."""
    match = _ONE.fullmatch(tidy(text))
    if match is None or (seconds := _seconds(match["first"], match["unit1"])) > LONGEST:
        raise CellError(f"{quoted(text)} is no number of seconds")
    return seconds


def _seconds(digits: str, unit: str | None) -> int:
    return int(digits) * (60 if unit and unit[0] in "mM" else 1)
