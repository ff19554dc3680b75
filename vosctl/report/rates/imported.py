"""What became of a deck file's rows, for people and for programs, with the YAML to save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from vosctl.rates.files.importing import Imported
from vosctl.rates.files.reading import Counts, Note
from vosctl.rates.files.write import cells
from vosctl.site.decks import Rate

_SHOWN = 20
_STYLES = {"refused": "bold red", "corrected": "yellow", "aside": "dim"}
_TITLES = {"refused": "refused", "corrected": "corrected", "aside": "no rate"}


def screen(found: Imported, yaml: str, files: Sequence[Path], *, every: bool) -> Group:
    """Return the report; without ``every``, the first notes of a kind."""
    return Group(*_parts(found, yaml, files, every))


def _parts(found: Imported, yaml: str, files: Sequence[Path], every: bool) -> Iterator[RenderableType]:  # noqa: FBT001
    yield Text(f"{found.path}: {counted(found.counts)}", style="bold")
    for kind in ("refused", "corrected", "aside"):
        notes = [note for note in found.notes if note.kind == kind]
        shown = notes if every else notes[: _SHOWN if kind != "aside" else 0]
        for note in shown:
            yield _line(found, note)
        if len(shown) < len(notes) and shown:
            yield Text(f"  and {len(notes) - len(shown)} more {_TITLES[kind]} (-v shows them)", style="dim")
    prefixes = sum(map(len, found.rates.values()))
    yield ""
    yield Text(f"{prefixes} rates" + (f" in {', '.join(found.rates)}" if any(found.rates) else ""))
    for path in files:
        yield Text(f"written to {path}")
    yield Text(
        "columns by the headings; look at them before saving" if found.suggested else "to save:", style="dim"
    )
    yield Text(yaml.rstrip("\n"))


def counted(counts: Counts) -> str:
    """Return the counts of a file's rows, which add up."""
    parts = (
        (counts.accepted, "accepted"), (counts.corrected, "corrected"), (counts.refused, "refused"),
        (counts.aside, "without a rate"), (counts.blank, "blank"),
    )  # fmt: skip
    return f"{counts.total} rows: " + (
        ", ".join(f"{count} {word}" for count, word in parts if count) or "none"
    )


def as_json(
    found: Imported, rates: Mapping[str, Sequence[Rate]], files: Mapping[str, str], yaml: str
) -> dict[str, Any]:
    """Return the report as JSON-ready data; money is text."""
    counts = found.counts
    return {
        "file": str(found.path),
        "counts": {
            "rows": counts.total, "accepted": counts.accepted, "corrected": counts.corrected,
            "refused": counts.refused, "aside": counts.aside, "blank": counts.blank,
        },
        "notes": [{"line": note.line, "kind": note.kind, "text": note.text} for note in found.notes],
        "suggested": found.suggested,
        "mapping": found.mapping,
        "decks": {name: [{**cells(rate), "line": rate.mark.line} for rate in rows] for name, rows in rates.items()},
        "written": files,
        "yaml": yaml,
    }  # fmt: skip


def _line(found: Imported, note: Note) -> Text:
    return Text.assemble(
        f"  {found.path}:{note.line} ", (_TITLES[note.kind], _STYLES[note.kind]), f": {note.text}"
    )
