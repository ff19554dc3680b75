"""Writes route tables as the file that proxies read: the layout is that of docs/route-file.md."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from struct import Struct

from vosctl.rates.lookup.keys import KEY, NONE
from vosctl.rates.route import Vendor, by_name
from vosctl.rates.routing import reader
from vosctl.rates.routing.bulk import Bulk, Column
from vosctl.rates.routing.native import bulk
from vosctl.rates.routing.reader import (
    CALENDAR,
    DAY,
    EPOCH,
    GROUP,
    HEADER,
    MOMENT,
    PART,
    REWRITE,
    SECTION,
    WINDOW,
    WORD,
)
from vosctl.rates.routing.tables import Tables
from vosctl.site.calendar import Calendar

_WORD = 4
_ALIGN = 8


class _Texts:
    """Texts, each once: a byte of length, then UTF-8."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        if text not in self._known:
            encoded = text.encode()
            self._known[text] = len(self.data)
            self.data += bytes([len(encoded)]) + encoded
        return self._known[text]


def write(tables: Tables, *, native: bool = True) -> bytes:
    """Return the file's bytes: the same for the same tables, whenever they were compiled."""
    texts = _Texts()
    vendors = sorted(tables.source.vendors, key=by_name)
    hours = [each.routing.hours for each in vendors if each.routing.hours is not None]
    calendars = [*tables.clock.calendars]
    calendars += [each for at, each in enumerate(hours) if each not in hours[:at]]
    shown = len(tables.clock.calendars)
    currencies = [(texts(code), texts(format(worth, "f"))) for code, worth in tables.terms.currencies]
    runs, directory = _encoded(tables, bulk(native=native))
    sections = {
        "KEYS": (KEY, tables.keys),
        "PRNT": (_WORD, tables.parents),
        "VEND": (reader.VENDOR.size, b"".join(_vendors(vendors, calendars, shown, texts))),
        "RWRT": (REWRITE.size, b"".join(_rewrites(vendors, texts))),
        "GRPS": (GROUP.size, _packed(GROUP, (
            (texts(each.deck.name), texts(each.deck.currency or tables.source.currency))
            for each in tables.source.sellers))),
        "CURR": (reader.CURRENCY.size, _packed(reader.CURRENCY, currencies)),
        "MOMT": (MOMENT.size, _packed(MOMENT, (
            ((each - EPOCH) // timedelta(microseconds=1),) for each in tables.clock.moments))),
        **_calendars(calendars, texts),
        "VIEW": (_WORD, _packed(WORD, ((each,) for view in tables.views for each in view))),
        "TABL": (reader.TABLE.size, directory),
        "RUNS": (_WORD, runs),
        "RATE": (reader.RATE.size, tables.terms.records()),
        "OFFR": (reader.OFFER.size, tables.offers),
        "LOCK": (1, tables.reasons),
        "CELL": (reader.CELL.size, tables.cells),
        "STRS": (1, bytes(texts.data)),
    }  # fmt: skip
    counts = len(tables.parents) // _WORD, len(vendors), len(tables.source.sellers), len(tables.views)
    return _file(sections, (*counts, len(tables.clock.moments), shown), tables.source.currency)


def _file(sections: dict[str, tuple[int, bytes]], counts: tuple[int, ...], currency: str) -> bytes:
    at = HEADER.size + SECTION.size * len(sections)
    directory, parts = bytearray(), []
    for name, (size, content) in sections.items():
        padding = -at % _ALIGN
        at += padding
        directory += SECTION.pack(name.encode(), len(content) // size, at, len(content))
        parts += [bytes(padding), content]
        at += len(content)
    body = b"".join([directory, *parts])
    head = HEADER.pack(
        reader.MAGIC, reader.VERSION, HEADER.size, zlib.crc32(body), HEADER.size + len(body), *counts,
        len(sections), currency.encode(),
    )  # fmt: skip
    return head + body


def _packed(form: Struct, records: Iterable[Sequence[int]]) -> bytes:
    return b"".join(form.pack(*record) for record in records)


def _vendors(
    vendors: Sequence[Vendor], calendars: Sequence[Calendar], shown: int, texts: _Texts
) -> Iterable[bytes]:
    first = 0
    for vendor in vendors:
        own = vendor.routing
        hours = reader.NO_HOURS if own.hours is None else calendars.index(own.hours, shown)
        via = NONE if vendor.via is None else texts(vendor.via)
        yield reader.VENDOR.pack(
            texts(vendor.name), via, own.priority, own.weight, own.share, hours, first, len(own.rewrite), 0, 0
        )
        first += len(own.rewrite)


def _rewrites(vendors: Sequence[Vendor], texts: _Texts) -> Iterable[bytes]:
    for number, vendor in enumerate(vendors):
        longest = sorted(vendor.routing.rewrite.items(), key=lambda rule: (-len(rule[0]), rule[0]))
        for prefix, other in longest:
            yield REWRITE.pack(number, texts(prefix), texts(other))


def _calendars(calendars: Sequence[Calendar], texts: _Texts) -> dict[str, tuple[int, bytes]]:
    found, parts, windows, days = bytearray(), bytearray(), bytearray(), bytearray()
    for calendar in calendars:
        found += CALENDAR.pack(
            texts(calendar.timezone), len(parts) // PART.size, len(calendar.sections),
            len(days) // DAY.size, len(calendar.holidays),
        )  # fmt: skip
        for name, each in calendar.sections.items():
            parts += PART.pack(texts(name), len(windows) // WINDOW.size, len(each))
            for window in each:
                mask = sum(1 << day for day in window.days)
                windows += WINDOW.pack(mask, window.start, window.end)
        for day in sorted(calendar.holidays):
            days += DAY.pack((day - EPOCH.date()).days)
    return {
        "CALS": (CALENDAR.size, bytes(found)),
        "PART": (PART.size, bytes(parts)),
        "WIND": (WINDOW.size, bytes(windows)),
        "HOLI": (DAY.size, bytes(days)),
    }


def _encoded(tables: Tables, work: Bulk) -> tuple[bytes, bytes]:
    """Return the tables' words and their directory; a later view's table says how it differs from the first view's."""
    base_of = {
        number: base for view in tables.views[1:] for number, base in zip(view, tables.views[0], strict=True)
    }
    runs, directory = bytearray(), bytearray()
    for number, values in enumerate(tables.columns):
        base = base_of.get(number, number)
        own = values if base == number else work.mask(values, tables.columns[base])
        starts, kept = work.runs(own)
        dense = 2 * len(starts) > len(own)
        directory += reader.TABLE.pack(
            len(runs), len(own) if dense else len(starts), reader.DENSE if dense else reader.RUNS, 0,
            NONE if base == number else base,
        )  # fmt: skip
        runs += _words(own) if dense else _words(starts) + _words(kept)
    return bytes(runs), bytes(directory)


def _words(values: Column) -> bytes:
    return values.tobytes()
