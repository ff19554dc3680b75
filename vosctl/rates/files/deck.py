"""A deck made of a file alone, for comparing it with others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from vosctl.rates.files.importing import mapping_for
from vosctl.rates.files.reading import DeckFileError
from vosctl.rates.files.rows import read_rows
from vosctl.rates.files.table import table_of
from vosctl.site.decks import Deck, in_force
from vosctl.site.tree import Mark


def deck_of_file(path: Path, known: Mapping[str, object]) -> tuple[Deck, int]:
    """Return the deck in a file and how many rows are refused; read with ``known``, else by its headings.

    Raises DeckFileError where neither fits.
    """
    mark = Mark(str(path), 1, 1)
    table = table_of(path, known)
    try:
        mapping, _ = mapping_for(path, known, table)
        reading = read_rows(path, mapping, table)
    except DeckFileError:
        if "columns" not in known:
            raise
        table = table_of(path, {})
        mapping, _ = mapping_for(path, {key: known[key] for key in known if key == "currency"}, table)
        reading = read_rows(path, mapping, table)
    currency = str(mapping.get("currency") or "") or next(iter(reading.currencies), "")
    rows = in_force(reading.rows, datetime.now(timezone.utc), "")
    return Deck(
        path.stem, rows, mark, entries=reading.rows, currency=currency, file=path
    ), reading.counts.refused
