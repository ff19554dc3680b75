"""Suggests the mapping of a deck file from its headings and cells, for a person to check and save."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vosctl.rates.files.cells import CellError, heading
from vosctl.rates.files.heads import LOOKED_AT
from vosctl.rates.files.layout import ALIASES, FIELDS, FOREIGN
from vosctl.rates.files.moments import day_order
from vosctl.rates.files.reading import DeckFileError
from vosctl.rates.files.table import Table, is_blank
from vosctl.rates.files.terms import status
from vosctl.site.suggest import listed

# Headings as vendors write them, the surest first; of two columns for one field the surer one is taken.
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "country": (r"(country|intl?|international)[ _-]?(dial(ling|ing)? )?codes?", r"cc"),
    "area": (r"(area|city|region|ndc|national)[ _-]?codes?", r"ndc", r"breakouts?", r"ac"),
    "prefix": (
        r"prefix(es)?( codes?)?", r"dial(led|ling|ing|ed)?[ _-]?(codes?|prefix|digits)",
        r"(destination|full|numbering|e\.?164|number|fee|tariff|rate)[ _-]?(codes?|prefix)", r"codes?", r"e\.?164", r"digits", r"numbers?",
    ),
    "rate": (
        r"new[ _-]?(rate|price)s?\b.*", r"(rate|price|tariff|cost)s?", r"(rate|price|tariff|cost)s? ?(/|per|p/|in|\(|\[).*",
        r"(voice|sell|sale|buy|peak|minute|min|offered|usd|eur|gbp|[$€£])[ _-]?(rate|price|tariff|cost)s?\b.*", r".* (rate|price)( ?[/(\[].*)?", r"([a-z]{3}|[$€£]) ?(/|per) ?(m|s|min(ute)?s?|sec(ond)?s?)", r"per min(ute)?", r"current[ _-]?(rate|price)s?\b.*",
    ),
    "destination": (r"destinations?( names?)?", r"(destination|zone|area|region|country|route|operator|breakout)s?[ _-]?(names?|descriptions?)?", r"descriptions?", r"countr(y|ies).*", r"names?", r"locations?"),
    "increment": (r"(billing|charging|rate|charge)[ _-]?(increments?|intervals?|terms|blocks?|steps?)", r"increments?", r"intervals?", r"billing", r"pulses?", r"min/inc"),
    "first_seconds": (r"(first|initial|1st|min(imum|\.)?|starting)[ _-]?(increment|interval|period|duration|seconds|secs?|time|block|billing)\b.*", r"interval ?1", r"i1"),
    "cycle": (r"(next|subsequent|second|2nd|additional|following|further|recurring)[ _-]?(increment|interval|period|seconds|secs?|block|billing)s?\b.*", r"(billing )?cycle", r"interval ?[n2]", r"in"),
    "first_rate": (r"(first|initial)[ _-]?(minute |time |period )?(rate|price)\b.*",),
    "connect": (r"(connect(ion)?|set-?up|access|call)[ _-]?(fee|charge|cost|price)s?\b.*", r"connect(ion)?", r"surcharges?"),
    "minimum": (r"min(imum|\.)?[ _-]?(charge|fee|price)s?\b.*",),
    "grace": (r"grace[ _-]?(period|time|seconds)?",),
    "free_seconds": (r"free[ _-]?(seconds|secs?|time)",),
    "currency": (r"curr(ency)?\.?( codes?)?", r"ccy"),
    "valid_from": (r"(new )?effective([ _-]?(from|date|since|start|time))*", r"(valid|active|start)[ _-]?(from|since|date)?", r"(start|begin|change)[ _-]?(date|time)", r"date effective", r"from", r"date"),
    "last_day": (r"(valid|effective|active)[ _-]?(to|till?|until|through|end)", r"(end|expir(y|ation)|stop|last)[ _-]?(date|day|time)?", r"expires?", r"to"),
    "blocked": (r"blocked", r"(route[ _-]?)?status", r"availability", r"change type", r"state"),
}  # fmt: skip
_PATTERNS = {field: [re.compile(each) for each in texts] for field, texts in _HEADINGS.items()}
_OLD = re.compile(r"(?i)\b(old|previous|prior|last|former)\b")
_BY_SECOND = re.compile(r"(?i)(/|per|p/) ?s(ec(ond)?)?\b")
_SIGNS = {"€": "EUR", "£": "GBP"}
_CURRENCY = re.compile(
    r"\b(?:USD|EUR|GBP|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|RUB|UAH|INR|PKR|BDT|CNY|HKD|SGD|JPY|AED|SAR|ZAR|NGN|KES|BRL|MXN|CAD|AUD)\b|[€£]"
)
_OWN = {*FIELDS, *FOREIGN, *ALIASES}


def suggest(path: Path, known: Mapping[str, object], table: Table) -> dict[str, object]:
    """Return a mapping for the file with these rows, as it would be written in YAML; ``known`` parts of it stand.

    Raises DeckFileError where no row looks like headings with a prefix and a rate.
    """
    given = known.get("columns")
    said: dict[str, object] = {}
    if isinstance(given, Mapping):
        said = {ALIASES.get(str(name), str(name)): value for name, value in given.items()}
    index, cells, found = _best(table, path, said)
    rows = [cells for _, cells in table.rows[index + 1 :]]
    columns = {**_named(cells, found, rows), **said}
    mapping: dict[str, object] = {key: text for key, text in table.found.items() if _worth_saying(key, text)}
    mapping["columns"] = columns
    form = _date_format(cells, columns, rows)
    if form:
        mapping["date_format"] = form
    if _BY_SECOND.search(str(columns.get("rate", ""))):
        mapping["per"] = "second"
    currency = _CURRENCY.search(str(columns.get("rate", "")))
    if currency and "currency" not in columns:
        mapping["currency"] = _SIGNS.get(currency[0], currency[0])
    return {**mapping, **{key: value for key, value in known.items() if value and key != "columns"}}


def _worth_saying(key: str, text: str) -> bool:
    """Return whether what was found out should be saved; the usual need not be."""
    return (key, text) not in {("separator", ","), ("encoding", "utf-8"), ("encoding", "utf-8-sig")} and bool(
        text
    )


def _best(table: Table, path: Path, said: Mapping[str, object]) -> tuple[int, Sequence[str], dict[str, int]]:
    rows: Iterator[tuple[int, Sequence[str]]] = (
        iter([(-1, table.heading)])
        if table.heading is not None
        else (
            (index, cells) for index, (_, cells) in enumerate(table.rows[:LOOKED_AT]) if not is_blank(cells)
        )
    )
    best: tuple[int, Sequence[str], dict[str, int]] | None = None
    shown: Sequence[str] = ()
    for index, cells in rows:
        found = _fields(cells, said)
        shown = max(shown, cells, key=lambda row: sum(bool(cell.strip()) for cell in row))
        if (
            "rate" in found
            and ("prefix" in found or "country" in found)
            and (best is None or len(found) > len(best[2]))
        ):
            best = index, cells, found
    if best is None:
        heads = listed([" ".join(cell.split()) for cell in shown if cell.strip()]) or "nothing"
        raise DeckFileError(
            f"no row of {path} looks like headings with a prefix and a rate; the fullest has {heads}",
            hint="say which they are: --column 'prefix=Dial code' --column 'rate=Price', or numbers of columns",
        )
    return best


def _fields(cells: Sequence[str], said: Mapping[str, object]) -> dict[str, int]:
    """Return which cell of a row of headings is which field; a cell is one field at the most, ``said`` ones first."""
    ranked: list[tuple[int, int, str]] = []
    known = {heading(str(name)): field for field, name in said.items()}
    for place, name in enumerate(map(heading, cells)):
        if name in known:
            ranked.append((-2, place, known[name]))
        elif name in _OWN:
            ranked.append((-1, place, ALIASES.get(name, name)))
        elif not _OLD.search(name):
            ranked += [(rank, place, field) for field, rank in _ranks(name)]
    found: dict[str, int] = {}
    taken: set[int] = set()
    for _, place, field in sorted(ranked):
        if field not in found and place not in taken:
            found[field] = place
            taken.add(place)
    return found


def _ranks(name: str) -> Iterator[tuple[str, int]]:
    bare = name.replace("*", "").replace(":", "").strip()
    for field, patterns in _PATTERNS.items():
        for rank, pattern in enumerate(patterns):
            if pattern.fullmatch(bare):
                yield field, rank
                break


def _named(cells: Sequence[str], found: dict[str, int], rows: list[Sequence[str]]) -> dict[str, object]:
    """Return the columns by heading; a status column only where its words are known."""
    names: dict[str, object] = {}
    country, area = found.pop("country", None), found.pop("area", None)
    if "prefix" not in found and country is not None:
        names["prefix"] = _heading(cells, country)
        if area is not None:
            names["prefix"] = [_heading(cells, country), _heading(cells, area)]
    for field, place in found.items():
        if field != "blocked" or _is_status(rows, place):
            names[field] = _heading(cells, place)
    order = ("prefix", *FIELDS, *FOREIGN)
    return dict(sorted(names.items(), key=lambda item: order.index(item[0])))


def _heading(cells: Sequence[str], place: int) -> object:
    """Return a heading as it is written in YAML, or the column's number where two have the same."""
    names = [heading(cell) for cell in cells]
    return place + 1 if names.count(names[place]) > 1 else " ".join(cells[place].split())


def _is_status(rows: list[Sequence[str]], place: int) -> bool:
    """Return whether a column says of a row that it is blocked; a word that is unknown there is refused later."""
    known: list[bool] = []
    for text in {cells[place] for cells in rows if place < len(cells)}:
        try:
            known.append(any(status(text)))
        except CellError:
            known.append(False)
    return any(known)


def _date_format(cells: Sequence[str], columns: Mapping[str, object], rows: list[Sequence[str]]) -> str:
    """Return the form of dates where it must be said and some cells leave no doubt about it."""
    names = [heading(cell) for cell in cells]
    wanted = [
        heading(str(columns[key])) for key in ("valid_from", "valid_until", "last_day") if key in columns
    ]
    places = [names.index(name) for name in wanted if name in names]
    texts = {cells[place] for place in places for cells in rows if place < len(cells)}
    return day_order(texts)
