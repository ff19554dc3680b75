"""The mapping of a deck file: which column is what, and how what may be read in two ways is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from vosctl.rates.files.prefixes import Style
from vosctl.rates.files.reading import DeckFileError
from vosctl.site.suggest import did_you_mean, listed

FIELDS = (
    "prefix", "destination", "rate", "cycle", "first_rate", "first_seconds", "connect", "minimum", "grace",
    "free_seconds", "section", "valid_from", "valid_until", "blocked",
)  # fmt: skip
"""The columns of a clean deck file, in order; ``prefix`` and ``rate`` must be there."""

FOREIGN = ("increment", "currency", "last_day")
"""What vendors' files have besides: 60/60, the row's currency, the last day on which it holds."""

ALIASES = {"from": "valid_from", "until": "valid_until"}
_NEEDED = ("prefix", "rate")
_CHOICES = {
    "dash": ("range", "group"),
    "comma": ("list", "group"),
    "area": ("after", "whole"),
    "per": ("minute", "second"),
    "decimal": (".", ","),
    "duplicates": ("refuse", "first", "last", "highest", "lowest"),
}


class Layout(Struct, frozen=True):
    """A mapping, checked; "" is what it leaves open.

    ``columns`` has our name and the headings (or numbers of columns, from 1) it is read from;
    ``defaults`` a cell's text for all rows of a field that is no column, as increment: 1/1.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""
    encoding: str = ""
    sheet: str = ""
    decimal: str = ""
    date_format: str = ""
    timezone: str = "UTC"
    currency: str = ""
    per: str = "minute"
    duplicates: str = "refuse"
    style: Style = field(default_factory=Style)


def layout_of(mapping: Mapping[str, object]) -> Layout:
    """Return the mapping as written in YAML, checked; keys of the deck that are no part of it are passed over.

    Raises DeckFileError for names and values that are unknown.
    """
    columns = {_field(name): _headings(value) for name, value in _table(mapping, "columns").items()}
    columns = {name: headings for name, headings in columns.items() if headings}
    lacking = [name for name in _NEEDED if columns and name not in columns]
    if lacking:
        raise DeckFileError(f"columns does not say which column is {' and '.join(lacking)}",
                            hint=f"as columns: {{{lacking[0]}: the heading}}")  # fmt: skip
    several = [name for name, headings in columns.items() if len(headings) > (2 if name == "prefix" else 1)]
    if several:
        raise DeckFileError(f"columns: {several[0]} has {len(columns[several[0]])} headings",
                            hint="one; prefix may have two, for country code and area codes")  # fmt: skip
    chosen = {key: _choice(mapping, key, known) for key, known in _CHOICES.items()}
    separator = _text(mapping, "separator")
    return Layout(
        columns=columns,
        defaults={_field(name): str(text) for name, text in _table(mapping, "defaults").items()},
        separator=separator,
        encoding=_text(mapping, "encoding"),
        sheet=_text(mapping, "sheet"),
        decimal=chosen["decimal"],
        date_format=_text(mapping, "date_format"),
        timezone=_text(mapping, "timezone") or "UTC",
        currency=_text(mapping, "currency"),
        per=chosen["per"] or "minute",
        duplicates=chosen["duplicates"] or "refuse",
        style=Style(chosen["dash"], chosen["comma"], chosen["area"]),
    )


def _field(name: str) -> str:
    known = {*FIELDS, *FOREIGN, *ALIASES}
    if name not in known:
        raise DeckFileError(f"a deck has no '{name}'{did_you_mean(name, known)}",
                            hint=f"columns may name {listed((*FIELDS, *FOREIGN), most=20)}")  # fmt: skip
    return ALIASES.get(name, name)


def _headings(value: Any) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(str(each) for each in value)
    return () if value is None else (str(value),)


def _table(mapping: Mapping[str, object], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(mapping: Mapping[str, object], key: str) -> str:
    value = mapping.get(key)
    return "" if value is None else str(value)


def _choice(mapping: Mapping[str, object], key: str, known: tuple[str, ...]) -> str:
    value = _text(mapping, key)
    if value and value not in known:
        raise DeckFileError(f"{key}: {value} is unknown", hint=f"{key} is {' or '.join(known)}")
    return value
