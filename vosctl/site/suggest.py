"""Did-you-mean: the known name that somebody most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

_CUTOFF = 0.6


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest known name, or nothing."""
    found = closest(name, known)
    return f" (did you mean '{found}'?)" if found else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to ``name``, letter case aside, or None."""
    return _closest(name, tuple(known))


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Return ``a, b, c and 4 more``."""
    every = sorted(names)
    if len(every) <= most + 1:
        return ", ".join(every)
    return f"{', '.join(every[:most])} and {len(every) - most} more"


@lru_cache(maxsize=1024)
def _closest(name: str, known: tuple[str, ...]) -> str | None:
    folded = {_folded(candidate): candidate for candidate in known}
    wanted = _folded(name)
    matches = get_close_matches(wanted, folded, n=5, cutoff=_CUTOFF)
    return folded[max(matches, key=lambda match: _likeness(wanted, match))] if matches else None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _likeness(wanted: str, match: str) -> tuple[float, bool, bool]:
    """Among equally close names, letters that changed places, and a right first letter, are likelier."""
    ratio = SequenceMatcher(None, wanted, match).ratio()
    return round(ratio, 2), sorted(wanted) == sorted(match), wanted[:1] == match[:1]
