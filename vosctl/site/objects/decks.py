"""Builds one deck: its rows, from YAML or a file, and the terms that hold for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from vosctl.site.calendar import UTC, Calendar
from vosctl.site.decks import CALL, Commitment, Deck, Rate, Rounding, Tier, in_force
from vosctl.site.objects.calendars import parse_timezone
from vosctl.site.objects.fields import Fields, Workshop
from vosctl.site.objects.rate_rows import Place, build_rows, parse_price
from vosctl.site.objects.scalars import WrongValueError, parse_money
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import Mark, Scalar, plain

if TYPE_CHECKING:
    from vosctl.rates.files import Reading

_ZERO = Decimal(0)
_MOST_TAX = 1000
_OWN = {"description", "rows", "currency", "tax", "places", "rounding", "calendar", "tiers", "commitment"}
_SHOWN_NOTES = 3


class DeckShop(Struct, frozen=True):
    """What all decks are built with: the calendars, the site's folder, and the moment that "now" is."""

    shop: Workshop
    calendars: Mapping[str, Calendar]
    now: datetime

    def named(self, fields: Fields) -> Mapping[str, Deck]:
        """Return each deck of a mapping by name; equal trees of several nodes become one deck."""
        decks = {}
        for name, entry in fields.entries():
            mark = fields.tree.key_marks.get(name, entry.tree.mark)
            sources = entry.tree, self.calendars.get(entry.text("calendar") or "")
            decks[name] = self.shop.once(
                f"deck {fields.path} {name}", sources, self._maker(name, entry, mark)
            )
        return decks

    def one(self, name: str, fields: Fields) -> Deck | None:
        """Return the deck of an entry's ``private``, None where it has none."""
        if not fields.tree.items:
            return None
        return self._deck(name, fields, fields.tree.mark)

    def _maker(self, name: str, entry: Fields, mark: Mark) -> Callable[[], Deck]:
        return lambda: self._deck(name, entry, mark)

    def _deck(self, name: str, fields: Fields, mark: Mark) -> Deck:
        calendar = self._calendar(fields)
        zone = fields.parsed("timezone", parse_timezone) or (calendar.timezone if calendar else UTC)
        place = Place(calendar, zone)
        entries = build_rows(fields.below("rows"), place)
        path = self._file(fields)
        if path is not None:
            entries += _known_sections(_from_file(path, fields, zone), calendar, fields)
        current = in_force(entries, self.now, "")
        dated = any(row.section or row.valid_from or row.valid_until for row in entries)
        return Deck(
            name=name,
            rows=current,
            mark=mark,
            entries=entries if dated or len(current) < len(entries) else (),
            currency=fields.text("currency") or "",
            rounding=_rounding(fields),
            tax=fields.parsed("tax", parse_percent) or _ZERO,
            calendar=calendar,
            file=path,
            tiers=tuple(sorted(_tiers(fields), key=lambda tier: tier.minutes)),
            commitment=_commitment(fields.below("commitment")),
        )

    def _calendar(self, fields: Fields) -> Calendar | None:
        name = fields.text("calendar")
        if name is not None and name not in self.calendars:
            message = f"no calendar is named '{name}'{did_you_mean(name, self.calendars)}"
            hint = f"known in rates.calendars: {listed(self.calendars) or 'none'}"
            fields.error("unknown-calendar", message, key="calendar", hint=hint)
        return self.calendars.get(name or "")

    def _file(self, fields: Fields) -> Path | None:
        text = fields.text("file")
        return None if text is None else self.shop.folder / text


def _read(path: Path, _stamp: tuple[int, int] | None, mapping: str, mark: Mark) -> Reading:
    """Read a deck file once as long as it stays the same: nodes and runs of one process share it."""
    from vosctl.rates.files import read  # noqa: PLC0415  few sites have deck files

    return read(path, json.loads(mapping), mark)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # the reader says what is wrong with it
    return found.st_mtime_ns, found.st_size


def _from_file(path: Path, fields: Fields, zone: str) -> tuple[Rate, ...]:
    from vosctl.rates.files import DeckFileError  # noqa: PLC0415  few sites have deck files

    mapping = {key: plain(value) for key, value in fields.tree.items.items() if key not in _OWN}
    mapping |= {"timezone": zone, "currency": fields.text("currency")}
    try:
        text = json.dumps(mapping, default=str, sort_keys=True)
        reading = _read(path, _stamp(path), text, fields.mark("file"))
    except DeckFileError as error:
        fields.error("deck-file", error.message, key="file", hint=error.hint)
        return ()
    for kind, verb in (("refused", "are refused"), ("corrected", "were corrected")):
        notes = [note for note in reading.notes if note.kind == kind]
        if notes:
            shown = "; ".join(f"line {note.line}: {note.text}" for note in notes[:_SHOWN_NOTES])
            more = f"; and {len(notes) - _SHOWN_NOTES} more" if len(notes) > _SHOWN_NOTES else ""
            message = f"{len(notes)} rows of {path.name} {verb}: {shown}{more}"
            parts = fields.path.split(".")
            saved = f" --deck {parts[2]}" if len(parts) == 3 else ""
            hint = f"see all of them with: vosctl rates import {fields.text('file')}{saved}"
            fields.warn(f"deck-rows-{kind}", message, key="file", hint=hint)
    return reading.rows


def _known_sections(rows: tuple[Rate, ...], calendar: Calendar | None, fields: Fields) -> tuple[Rate, ...]:
    """Return the rows of a file; those of a section that the calendar lacks are an error, and left out."""
    known = {"", *(calendar.sections if calendar else ())}
    strange = [row for row in rows if row.section not in known]
    if not strange:
        return rows
    first = strange[0]
    whose = f"calendar '{calendar.name}' has" if calendar else "the deck has no calendar, so there is"
    message = f"{first.mark.file}:{first.mark.line}: {whose} no section '{first.section}'{did_you_mean(first.section, known)}"
    hint = f"its sections: {listed(calendar.sections)}" if calendar else "add calendar: its name"
    fields.error("unknown-section", message, key="file", hint=hint)
    return tuple(row for row in rows if row.section in known)


def _rounding(fields: Fields) -> Rounding:
    places = fields.integer("places")
    kind = fields.text("rounding")
    return Rounding(
        places=CALL.places if places is None else places,
        kind=CALL.kind if kind is None else "ROUND_" + kind.upper().replace("-", "_"),
    )


def parse_percent(value: Scalar) -> Decimal:
    """Return a share in per cent, with four decimals at most."""
    percent = parse_money(value)
    if percent > _MOST_TAX or -int(percent.normalize().as_tuple().exponent) > 4:
        raise WrongValueError(
            "bad-percent",
            f"'{value.text}' is no share in per cent",
            "write 20, or 7.5; four decimals at most",
        )
    return percent


def _tiers(fields: Fields) -> list[Tier]:
    found = []
    for entry in fields.listed_mappings("tiers"):
        minutes, discount = entry.integer("minutes"), entry.parsed("discount", parse_percent)
        if minutes is None or discount is None or discount > 100:
            entry.error(
                "bad-tier",
                "a tier has minutes and a discount of up to 100",
                hint="as {minutes: 100000, discount: 2.5}",
            )
        else:
            found.append(Tier(minutes, discount))
    return found


def _commitment(fields: Fields) -> Commitment | None:
    if not fields.tree.items:
        return None
    minutes, rate = fields.integer("minutes") or 0, fields.parsed("rate", parse_price)
    if minutes and rate is None:
        fields.error(
            "bad-commitment", "minutes need a rate for those that are missing", hint="add rate: 0.01"
        )
    return Commitment(fields.parsed("amount", parse_money) or _ZERO, minutes, rate or _ZERO)
