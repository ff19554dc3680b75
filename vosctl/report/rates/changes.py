"""What a new deck changes, as a table for people and as data; the dearest changes first where calls say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.changes.compare import Change
from vosctl.rates.changes.traffic import Impact, Sum
from vosctl.rates.compare import Kind
from vosctl.rates.guard import plain
from vosctl.report.rates.figures import money, thousands
from vosctl.site.decks import Rate

_WORDS = {Kind.UP: "up", Kind.DOWN: "down", Kind.NEW: "new", Kind.GONE: "gone", Kind.TERMS: "other terms"}
_STYLES = {Kind.UP: "red", Kind.DOWN: "green", Kind.NEW: "cyan", Kind.GONE: "yellow", Kind.TERMS: ""}
_ZERO = Decimal(0)


class Compared(Struct, frozen=True):
    """Two decks with what changes between them, and what that means for calls, where these are given."""

    title: str
    currency: str
    changes: Sequence[Change]
    later: Sequence[datetime]
    impact: Impact | None = None

    def sum(self, change: Change) -> Sum:
        """Return the calls of a change."""
        found = self.impact.changed.get((change.section, change.prefix)) if self.impact else None
        return found or Sum()

    def ordered(self) -> list[Change]:
        """Return the changes: by the money they make, else by how far the rate moves."""
        return sorted(self.changes, key=self._weight)

    def _weight(self, change: Change) -> tuple[Decimal, Decimal, str]:
        moved = change.percent
        return -abs(self.sum(change).difference), -abs(moved if moved is not None else _ZERO), change.prefix


def screen(compared: Compared, *, most: int | None) -> Group:
    """Return the counts, the first ``most`` changes (None: all) and the sums."""
    return Group(*_parts(compared, most))


def counted(changes: Sequence[Change]) -> str:
    """Return ``2 up, 1 gone``, or ``no change``."""
    counts = ((sum(change.kind is kind for change in changes), word) for kind, word in _WORDS.items())
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "no change"


def as_json(compared: Compared) -> dict[str, Any]:
    """Return the same as JSON-ready data; amounts are text."""
    return {
        "decks": compared.title,
        "currency": compared.currency,
        "counts": {kind.value: sum(change.kind is kind for change in compared.changes) for kind in Kind},
        "changes": [_json(compared, change) for change in compared.ordered()],
        "later": [moment.isoformat() for moment in compared.later],
        "traffic": {**_sum(compared.impact.total), "others": compared.impact.others}
        if compared.impact
        else None,
    }


def _json(compared: Compared, change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "prefix": change.prefix,
        "section": change.section,
        "destination": change.row.destination,
        "old": _rate(change.old),
        "new": _rate(change.new),
        "percent": change.percent,
        "terms": list(change.terms),
        "traffic": _sum(compared.sum(change)) if compared.impact else None,
    }


def _rate(row: Rate | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "prefix": row.prefix,
        "rate": plain(row.rate),
        "blocked": row.blocked,
        "at": f"{row.mark.file}:{row.mark.line}",
    }


def _sum(found: Sum) -> dict[str, Any]:
    return {
        "calls": found.calls, "seconds": found.seconds, "before": plain(found.before), "after": plain(found.after),
        "difference": plain(found.difference), "unpriced": found.unpriced,
    }  # fmt: skip


def _parts(compared: Compared, most: int | None) -> Iterator[RenderableType]:
    yield Text.assemble((compared.title, "bold"), f": {counted(compared.changes)}")
    if compared.later:
        yield Text(
            f"  rows begin or end later: --at {compared.later[0]:%Y-%m-%dT%H:%M} shows what holds then",
            style="dim",
        )
    shown = compared.ordered()[:most]
    if shown:
        yield _table(compared, shown)
    if len(shown) < len(compared.changes):
        yield Text(f"  and {len(compared.changes) - len(shown)} more (-v shows them)", style="dim")
    if compared.impact:
        yield _total(compared, compared.impact)


def _table(compared: Compared, shown: Sequence[Change]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("prefix", "destination", "", "was", "now", "%"):
        made.add_column(name, justify="right" if name in {"was", "now", "%"} else "left", overflow="fold")
    if compared.impact:
        for name in ("calls", "minutes", "difference"):
            made.add_column(name, justify="right")
    for change in shown:
        sums = compared.sum(change)
        cells: list[str | Text] = [
            change.prefix + (f" ({change.section})" if change.section else "") or "*",
            change.row.destination,
            Text(_WORDS[change.kind], style=_STYLES[change.kind]),
            _price(change.old, change),
            _price(change.new, change),
            "" if change.percent is None else f"{change.percent:+f}",
        ]
        if compared.impact:
            cells += [thousands(sums.calls), thousands(sums.seconds / 60), f"{_signed(sums.difference)}"]
        made.add_row(*cells)
    return made


def _price(row: Rate | None, change: Change) -> str:
    if row is None:
        return "-"
    text = "blocked" if row.blocked else plain(row.rate)
    if change.kind is Kind.TERMS and not row.blocked:
        text += f" at {row.first_seconds or row.cycle}/{row.cycle}" + (
            f" + {plain(row.connect)}" if row.connect else ""
        )
    return text if row.prefix == change.prefix else f"{text} by {row.prefix or '*'}"


def _total(compared: Compared, found: Impact) -> Text:
    total = found.total
    unit = f" {compared.currency}" if compared.currency else ""
    lost = f"; {thousands(total.unpriced)} calls have no rate in one of them" if total.unpriced else ""
    if found.others:
        lost += f"; {thousands(found.others)} calls of other decks are left out"
    return Text(
        f"{thousands(total.calls)} calls, {thousands(total.seconds / 60)} minutes: {money(total.before)} before, "
        f"{money(total.after)} after, {_signed(total.difference)}{unit}{lost}",
        style="bold",
    )


def _signed(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else ''}{plain(amount.normalize() if amount else _ZERO)}"
