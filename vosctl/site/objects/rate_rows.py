"""Builds the rows of a deck: a row in YAML is one rate, or several where sections or coming changes are written in it.

What a section or a change does not name, it takes over from the row it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.calendar import Calendar
from vosctl.site.decks import Rate
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import WrongValueError, parse_money
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import Mapping as Tree
from vosctl.site.tree import Mark, Scalar

MOST_DECIMALS = 8
_MOST = Decimal(100_000)
_PREFIX = re.compile(r"[0-9]{0,20}")
_ZERO = Decimal(0)
_CYCLE = 60


class Place(Struct, frozen=True):
    """What rows are read by: the deck's calendar, and the zone of moments without one."""

    calendar: Calendar | None
    timezone: str

    def moment(self, value: Scalar) -> datetime:
        """Return a moment in UTC; a day, and a moment without a zone, are the deck's own time."""
        try:
            moment = datetime.fromisoformat(value.text.replace("Z", "+00:00").replace("z", "+00:00"))
        except ValueError:
            hint = "write 2026-11-01, or 2026-11-01T14:30:00Z"
            raise WrongValueError(
                "bad-moment", f"'{value.text}' is neither a day nor a moment", hint
            ) from None
        return in_utc(moment, self.timezone)


def in_utc(moment: datetime, zone: str) -> datetime:
    """Return a moment in UTC; one without a time zone is local in ``zone``."""
    local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(timezone.utc)


def parse_price(value: Scalar) -> Decimal:
    """Return an amount that bulk arithmetic holds exactly: at most 8 decimals, at most 100,000."""
    amount = parse_money(value)
    if -int(amount.normalize().as_tuple().exponent) > MOST_DECIMALS:
        raise WrongValueError(
            "rate-precision",
            f"{value.text} has more than {MOST_DECIMALS} decimals",
            f"rates are counted in units of 10^-{MOST_DECIMALS}",
        )
    if amount > _MOST:
        raise WrongValueError("rate-too-high", f"{value.text} is more than {_MOST}", "a rate is per minute")
    return amount


def build_rows(table: Fields, place: Place) -> tuple[Rate, ...]:
    """Return all rows of a deck's ``rows``, in the order in which they are written."""
    found: list[Rate] = []
    for prefix, entry in table.entries():
        mark = table.tree.key_marks.get(prefix, entry.tree.mark)
        if _PREFIX.fullmatch(prefix):
            found.extend(_Row(prefix, mark, place).build([entry]))
    return tuple(found)


class _Row(Struct, frozen=True):
    """One entry of ``rows``; ``chain`` below is the row and what is written in it, the innermost last."""

    prefix: str
    mark: Mark
    place: Place

    def build(self, chain: Sequence[Fields]) -> Iterator[Rate]:
        changes = sorted(self._changes(chain[-1]), key=lambda change: change[0])
        starts = [moment for moment, _ in changes]
        base = self._one(chain)
        if base is None:
            return
        until = base.valid_until
        yield from self._with_sections(chain, replace(base, valid_until=_earlier(until, starts[:1])))
        for number, (moment, change) in enumerate(changes):
            rate = self._one([*chain, change])
            if rate is not None:
                end = _earlier(until, starts[number + 1 : number + 2])
                yield from self._with_sections(
                    [*chain, change], replace(rate, valid_from=moment, valid_until=end, mark=change.tree.mark)
                )

    def _with_sections(self, chain: Sequence[Fields], base: Rate) -> Iterator[Rate]:
        yield base
        sections: dict[str, list[Fields]] = {}
        for fields in chain:
            for name, inside in fields.below("sections").entries():
                sections.setdefault(name, []).append(inside)
        for name, written in sections.items():
            rate = self._one([*chain, *written]) if self._known(name, chain[-1]) else None
            if rate is not None:
                mark = written[-1].tree.mark
                yield replace(
                    rate, section=name, mark=mark, valid_from=base.valid_from, valid_until=base.valid_until
                )

    def _known(self, section: str, fields: Fields) -> bool:
        calendar = self.place.calendar
        if calendar is not None and section in calendar.sections:
            return True
        if calendar is None:
            message, hint = (
                f"the deck has no calendar that says when '{section}' is",
                "add calendar: its name",
            )
        else:
            message = f"calendar '{calendar.name}' has no section '{section}'{did_you_mean(section, calendar.sections)}"
            hint = f"its sections: {listed(calendar.sections)}"
        fields.error("unknown-section", message, key="sections", hint=hint)
        return False

    def _changes(self, fields: Fields) -> Iterator[tuple[datetime, Fields]]:
        table = fields.below("changes")
        for text, entry in table.entries():
            mark = table.tree.key_marks.get(text, entry.tree.mark)
            key = Scalar(text, text, quoted=True, mark=mark)
            moment = Fields(Tree({text: key}, {}, mark), table.path, fields.problems).parsed(
                text, self.place.moment
            )
            if moment is not None:
                yield moment, entry

    def _one(self, chain: Sequence[Fields]) -> Rate | None:
        blocked = any(fields.boolean("blocked", default=False) for fields in chain)
        rate = _price(chain, "rate")
        if rate is None and not blocked:
            if not any("rate" in fields for fields in chain):
                _lacks_rate(self.prefix, chain[-1], self.mark)
            return None
        first_rate, connect, minimum = (_price(chain, key) for key in ("first_rate", "connect", "minimum"))
        first_seconds = _whole(chain, "first_seconds", 0)
        if first_rate is not None and not first_seconds:
            _unused(chain)
        return Rate(
            prefix=self.prefix,
            rate=rate or _ZERO,
            cycle=_whole(chain, "cycle", _CYCLE),
            first_rate=(rate or _ZERO) if first_rate is None else first_rate,
            first_seconds=first_seconds,
            connect=connect or _ZERO,
            mark=self.mark,
            minimum=minimum or _ZERO,
            grace=_whole(chain, "grace", 0),
            free_seconds=_whole(chain, "free_seconds", 0),
            blocked=blocked,
            destination=_last(chain, "destination").text("destination") or "",
            **self._bounds(chain[0]),
        )

    def _bounds(self, row: Fields) -> Mapping[str, Any]:
        begin, end = (row.parsed(key, self.place.moment) for key in ("from", "until"))
        if begin is not None and end is not None and end <= begin:
            row.error(
                "rate-never-holds",
                "until is not after from",
                key="until",
                hint="until is the first moment after",
            )
        return {"valid_from": begin, "valid_until": end}


def _earlier(until: datetime | None, starts: Sequence[datetime]) -> datetime | None:
    bounds = [*starts, *([until] if until is not None else [])]
    return min(bounds, default=None)


def _last(chain: Sequence[Fields], key: str) -> Fields:
    """Return the innermost mapping that has the key, or the row itself."""
    return next((fields for fields in reversed(chain) if key in fields), chain[0])


def _price(chain: Sequence[Fields], key: str) -> Decimal | None:
    return _last(chain, key).parsed(key, parse_price)


def _whole(chain: Sequence[Fields], key: str, default: int) -> int:
    found = _last(chain, key).integer(key)
    return default if found is None else found


def _lacks_rate(prefix: str, fields: Fields, mark: Mark) -> None:
    message = f"the row '{prefix}' lacks rate"
    hint = "add rate: 0.0125, per minute; or blocked: true"
    fields.problems.error("missing-key", message, mark, path=fields.path, hint=hint)


def _unused(chain: Sequence[Fields]) -> None:
    message = "first_rate does nothing without first_seconds"
    hint = "say how long it holds: first_seconds: 60"
    _last(chain, "first_rate").warn("first-rate-unused", message, key="first_rate", hint=hint)
