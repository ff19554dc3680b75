"""A cell that cannot be read, and texts as people and spreadsheets write them, brought to one form."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Dashes, minus signs, spaces that are not one, and what has no width.
_LOOKALIKES = str.maketrans(
    {**dict.fromkeys("‐‑‒–—―−", "-"), **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", None), "’": "'"}
)


class CellError(Exception):
    """A cell that says nothing sure; the text is the reason, for the row's note."""


@lru_cache(maxsize=1 << 14)
def tidy(text: str) -> str:
    """Return a cell's text with plain dashes and single spaces, without what guards text in a spreadsheet (' and ="")."""
    if text.isascii() and text.isalnum():
        return text
    plain = " ".join(unicodedata.normalize("NFKC", text).translate(_LOOKALIKES).split())
    if plain.startswith('="') and plain.endswith('"'):
        plain = plain[2:-1]
    return plain.lstrip("'").strip().strip('"').strip()


def heading(text: str) -> str:
    """Return a heading as headings are compared: letter case, blanks and line breaks make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def quoted(text: str, most: int = 40) -> str:
    """Return a cell's text for a note: in quotes, on one line, not too long."""
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= most else f"'{line[: most - 1]}…'"
