"""What came of reading a deck file: its rows, and a note for every row that was not taken as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from vosctl.errors import VosctlError
from vosctl.site.decks import Rate
from vosctl.site.tree import Mark

Kind = Literal["corrected", "refused", "aside"]


class DeckFileError(VosctlError):
    """The file as a whole cannot be read: it is missing, no table, or lacks a column that the mapping names.

    ``mark`` is where the deck names it.
    """

    def __init__(self, message: str, *, hint: str = "", mark: Mark | None = None) -> None:
        super().__init__(message, hint=hint)
        self.mark = mark


class Note(Struct, frozen=True):
    """What was done with a row of the file other than to take it as it stands; lines count from 1.

    ``corrected``: the row is in the deck, changed as said. ``refused``: it is not, for a reason.
    ``aside``: it holds no rate (title, heading, total). ``foreign``: it is refused for its currency alone.
    """

    line: int
    kind: Kind
    text: str
    foreign: bool = False


class Counts(Struct, frozen=True):
    """Rows of a file by what became of each; ``blank`` ones have no cell with text. They add up to ``total``."""

    accepted: int = 0
    corrected: int = 0
    refused: int = 0
    aside: int = 0
    blank: int = 0

    @property
    def total(self) -> int:
        """All rows of the file."""
        return self.accepted + self.corrected + self.refused + self.aside + self.blank


class Reading(Struct, frozen=True):
    """A deck file as read; a row of the file that names a range gives several rates, in order of the lines.

    ``found`` is what was found out about the file (separator, encoding, sheet, decimal), in the words of the
    mapping; ``currencies`` counts the rows that name one.
    """

    rows: tuple[Rate, ...]
    notes: tuple[Note, ...]
    counts: Counts
    found: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, int] = field(default_factory=dict)
