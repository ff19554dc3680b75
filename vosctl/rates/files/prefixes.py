"""What a vendor writes for prefixes: one, a list, a range, a country code with area codes; always digits in the end.

What can be read in two ways is refused, unless the mapping says which is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from vosctl.rates.files.cells import CellError, quoted, tidy
from vosctl.rates.files.ranges import cover

LONGEST = 20
_DEFAULT = frozenset({"*", "default", "other", "others", "all others", "all other", "rest of world", "row"})
_WHOLE_COUNTRY = frozenset(
    {"", "-", "*", "all", "any", "proper", "other", "others", "default", "none", "n/a"}
)
_LOST = re.compile(r"[0-9](\.[0-9]*)?[eE]\+?[0-9]+")
_FLOAT = re.compile(r"([0-9]+)\.0+")
_WITH_AREAS = re.compile(r"(?P<code>\+?[0-9 ]+?) ?[(\[](?P<areas>[^()\[\]]*)[)\]]")
_SPACED_AREAS = re.compile(r"(?P<code>\+?[0-9]{1,3}) (?P<areas>[0-9][0-9 -]*[,;/|&][0-9,;/|& -]*)")
_LISTS = re.compile(r" ?(?:[,;/|&]| and ) ?")
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
_RANGE = re.compile(r"(?P<first>\+?[0-9][0-9 ]*?) ?(?:-|\.\.+| to ) ?(?P<last>\+?[0-9][0-9 ]*)")
_RUBBISH_BEFORE = re.compile(r"^[^0-9+]+")
_WILDCARDS = re.compile(r"[xX*%?_#.…]+$")
_RUBBISH_AFTER = re.compile(r"[^0-9]+$")
_SHORT = 3


class Style(Struct, frozen=True):
    """What the mapping says of cells that may be read in two ways; "" where it says nothing.

    ``dash``: "range" (44-49 is 44 to 49) or "group" (it is 4449). ``comma``: "list" (1,242 is two
    prefixes) or "group" (it is 1242). ``area``: "whole" where area codes begin with the country code.
    """

    dash: str = ""
    comma: str = ""
    area: str = ""


class Codes(Struct, frozen=True):
    """Prefixes that a cell stands for; ``note`` is what was corrected, ``ranged`` that a range was spread."""

    prefixes: tuple[str, ...]
    note: str = ""
    ranged: bool = False


def read_codes(text: str, style: Style) -> Codes:
    """Return the prefixes of a cell with whole prefixes; raise CellError where it says nothing sure."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= LONGEST:
        return Codes((text,))
    clean = tidy(text)
    if clean.casefold() in _DEFAULT:
        return Codes(("",), "" if clean == "*" else f"prefix {quoted(text)} read as the default row")
    if not clean:
        raise CellError("no prefix")
    if _LOST.fullmatch(clean):
        raise CellError(f"prefix {quoted(text)}: a spreadsheet cut digits off; send the column as text")
    whole = _FLOAT.fullmatch(clean)
    found = _Cell(text, style).codes(whole[1] if whole else clean)
    return _checked(found, text, changed=text != found[0][0] if len(found[0]) == 1 else False)


def read_pair(code: str, areas: str, style: Style) -> Codes:
    """Return the prefixes of a country code and a cell with its area codes; "" and "all" are the whole country."""
    if tidy(areas).casefold() in _WHOLE_COUNTRY:
        return read_codes(code, style)
    if style.area == "whole":
        return read_codes(areas, style)
    country = read_codes(code, style)
    if len(country.prefixes) != 1:
        raise CellError(f"{quoted(code)} with area codes {quoted(areas)}: several countries, or none")
    found = _Cell(areas, style).areas(country.prefixes[0], tidy(areas))
    codes = _checked(found, f"{code} {areas}", changed=False)
    return Codes(codes.prefixes, country.note, codes.ranged)


Found = tuple[list[str], bool, bool]
"""Prefixes, whether a range was spread, whether more than the plain form was read into the text."""


class _Cell(Struct, frozen=True):
    text: str
    style: Style

    def codes(self, clean: str) -> Found:
        if "(0)" in clean.replace(" ", ""):
            raise CellError(f"prefix {quoted(self.text)}: the 0 in brackets is dialled within a country only")
        split = _WITH_AREAS.fullmatch(clean) or _SPACED_AREAS.fullmatch(clean)
        if split and not split["areas"].strip():
            raise CellError(f"prefix {quoted(self.text)}: nothing between the brackets")
        if split:
            country, _ = self._number(split["code"])
            prefixes, ranged, _ = self.areas(country, split["areas"].strip())
            return prefixes, ranged, False
        if _THOUSANDS.fullmatch(clean):
            return self._thousands(clean)
        items = [item for item in _LISTS.split(clean) if item]
        if not items:
            raise CellError(f"prefix {quoted(self.text)} is no row of digits")
        if len(items) == 1:
            return self._item(items[0])
        return self._list(items)

    def areas(self, country: str, clean: str) -> Found:
        """Return the prefixes of a country's area codes, where a dash is always a range."""
        prefixes: list[str] = []
        ranged = False
        for item in _LISTS.split(clean.replace(" - ", "-")):
            first, dash, last = item.replace(" ", "").partition("-")
            if not _digits(first) or (dash and not _digits(last)):
                raise CellError(f"area code {quoted(item)} of {country} is no number or range")
            spread = self._spread(first, last) if dash else (first,)
            prefixes += [country + area for area in spread]
            ranged = ranged or bool(dash)
        return prefixes, ranged, False

    def _thousands(self, clean: str) -> Found:
        items = clean.split(",")
        alike = len(items[0]) == _SHORT and all(item[0] == items[0][0] for item in items)
        if self.style.comma == "group":
            return ["".join(items)], False, True
        if self.style.comma == "list" or alike:
            return self._list(items)
        raise CellError(
            f"prefix {quoted(self.text)} may be a list or {''.join(items)}; say comma: list or group"
        )

    def _list(self, items: Sequence[str]) -> Found:
        prefixes: list[str] = []
        ranged = changed = False
        for item in items:
            found, spread, other = self._item(item)
            prefixes += found
            ranged, changed = ranged or spread, changed or other
        same = 1 if prefixes[0][:1] in "17" else 2
        strange = [each for each in prefixes if each[:same] != prefixes[0][:same]]
        if strange and self.style.comma != "list":
            raise CellError(
                f"prefix {quoted(self.text)}: {strange[0]} after {prefixes[0]} may be short for a longer one; "
                "say comma: list if it is not"
            )
        return prefixes, ranged, changed

    def _item(self, item: str) -> Found:
        split = _RANGE.fullmatch(item)
        if split:
            return self._dash(self._number(split["first"])[0], self._number(split["last"])[0])
        number, changed = self._number(item)
        return [number], False, changed

    def _dash(self, first: str, last: str) -> Found:
        joined = first + last
        if self.style.dash == "group":
            return [joined], False, True
        sure = len(first) > _SHORT and (len(last) < len(first) or last[0] == first[0])
        if self.style.dash == "range" or sure:
            return list(self._spread(first, last)), True, len(first) != len(last)
        short = len(first) <= _SHORT
        if short and (len(last) > len(first) or (len(last) == len(first) and last < first)):
            return [joined], False, True
        raise CellError(
            f"prefix {quoted(self.text)} may be a range or {joined}; say dash: range or dash: group"
        )

    def _spread(self, first: str, last: str) -> tuple[str, ...]:
        """Return a range's prefixes; 4470-75 is 4470 to 4475, 4470-447599 is 447000 to 447599."""
        if len(last) < len(first):
            last = first[: -len(last)] + last
        low = first.ljust(len(last), "0")
        if low > last:
            raise CellError(f"prefix {quoted(self.text)}: {last} does not come after {first}")
        return cover(low, last)

    def _number(self, text: str) -> tuple[str, bool]:
        """Return the digits of one prefix, and whether letters, wildcards or signs were taken off them."""
        kept = _WILDCARDS.sub("", _RUBBISH_BEFORE.sub("", text))
        kept = _RUBBISH_AFTER.sub("", kept)
        plus = kept.startswith("+")
        parts = re.split(r"[ .()/-]+", kept.lstrip("+"))
        if not all(map(_digits, parts)):
            raise CellError(f"prefix {quoted(self.text)}: {quoted(text)} is no row of digits")
        if len(parts) > 1 and len(parts[0]) > _SHORT and not plus:
            raise CellError(
                f"prefix {quoted(self.text)} may be a list or one prefix; separate lists by commas"
            )
        digits = "".join(parts)
        digits = digits.removeprefix("00")
        return digits, digits != text


def _checked(found: Found, text: str, *, changed: bool) -> Codes:
    prefixes, ranged, other = found
    for prefix in prefixes:
        if not prefix or prefix[0] == "0":
            raise CellError(f"prefix {quoted(text)} begins with 0; prefixes are international, as 4420")
        if len(prefix) > LONGEST:
            raise CellError(f"prefix {quoted(text)} has more than {LONGEST} digits")
    unique = tuple(dict.fromkeys(prefixes))
    shown = ", ".join(unique[:4]) + (f" and {len(unique) - 4} more" if len(unique) > 4 else "")
    noted = other or changed or len(unique) < len(prefixes)
    return Codes(unique, f"prefix {quoted(text)} read as {shown}" if noted else "", ranged)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
