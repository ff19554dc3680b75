"""Did-you-mean: the known name that somebody most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache


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
    folded = {candidate.casefold().replace("-", "_"): candidate for candidate in known}
    match = get_close_matches(name.casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[match[0]] if match else None
