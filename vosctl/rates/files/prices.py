"""Prices as vendors write them: with signs, codes, thousands separators, either decimal mark; exact, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.files.cells import CellError, quoted, tidy

MOST_DECIMALS = 8
MOST = Decimal(100_000)
_EXCEL_DIGITS = 15
_BLOCKED = frozenset(
    {"blocked", "block", "closed", "barred", "n/a", "na", "n.a.", "not available", "unavailable", "no service",
     "no route", "not offered", "not supported", "suspended", "not allowed", "out of service"}
)  # fmt: skip
_SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "", "$": "", "US$": "USD", "₹": "INR", "₽": "RUB", "": ""}
_CELL = re.compile(
    r"(?P<before>[^0-9.,+\-(]*)(?P<sign>[+\-(]?)\s*(?P<code>[A-Z]{0,3}[$€£]?)\s*"
    r"(?P<number>(?:[0-9][0-9.,' ]*|[.,][0-9]+))(?P<power>[eE][+-]?[0-9]{1,2})?(?P<after>[^0-9]*)"
)
_UNIT = re.compile(r"(?i)\s*(?:/|per|p/)\s*(?:min(?:ute)?|m)\.?\s*|\s*p\.?m\.?\s*")
_MARKED = re.compile(r"[.,]")


class Price(Struct, frozen=True):
    """An amount as the cell says it; ``currency`` is a code that stood with it; a ``blocked`` cell has no amount."""

    amount: Decimal
    note: str = ""
    currency: str = ""
    blocked: bool = False


def is_blocked(text: str) -> bool:
    """Return whether a cell says in words that calls there are not carried."""
    return tidy(text).casefold() in _BLOCKED


def read_price(text: str, decimal: str) -> Price:
    """Return the price in a cell; ``decimal`` is the file's mark, "" where its cells do not tell.

    Raises CellError for what is empty, negative, ambiguous, too precise or no price at all.
    """
    clean = tidy(text)
    if not clean:
        raise CellError("is empty")
    if clean.casefold() in _BLOCKED:
        return Price(Decimal(0), f"{quoted(text)}: blocked", blocked=True)
    match = _CELL.fullmatch(clean)
    if match is None:
        raise CellError(f"{quoted(text)} is no price")
    if match["sign"] in {"-", "("}:
        raise CellError(f"{quoted(text)} is negative")
    number = plain_number(match["number"].strip(), decimal, text) + (match["power"] or "")
    currency = _currency(match, text)
    amount, cut = exact(Decimal(number), text)
    before, after = match["before"] + match["code"], match["after"]
    written = match["power"] or before.strip() or after.strip() or cut
    return Price(amount, f"{quoted(text)} read as {amount:f}" if written else "", currency)


def exact(amount: Decimal, text: str) -> tuple[Decimal, bool]:
    """Return an amount of at most 8 decimals, and whether a spreadsheet's noise beyond 15 digits was taken off.

    A number that was computed in binary has up to 17 digits, of which spreadsheets show 15. Raises
    CellError for more decimals than those, and for more than 100,000.
    """
    if amount > MOST:
        raise CellError(f"{quoted(text)} is more than {MOST}; a rate is per minute")
    if _decimals(amount) <= MOST_DECIMALS:
        return amount, False
    shown = Decimal(f"{amount:.{_EXCEL_DIGITS}g}")
    if len(amount.as_tuple().digits) > _EXCEL_DIGITS and _decimals(shown) <= MOST_DECIMALS:
        return Decimal(f"{shown.normalize():f}"), True
    raise CellError(f"{quoted(text)} has more than {MOST_DECIMALS} decimals")


def decimal_mark(texts: Iterable[str]) -> str:
    """Return the decimal mark that the price cells of a file agree on, "" where none or both are sure."""
    sure = {mark for text in texts if (mark := _sure_mark(tidy(text)))}
    return sure.pop() if len(sure) == 1 else ""


def plain_number(number: str, decimal: str, text: str) -> str:
    """Return digits with a decimal point; raise CellError where a mark may be either."""
    bare = number.replace(" ", "").replace("'", "")
    marks = _MARKED.findall(bare)
    if not marks:
        return bare
    mark = _mark_of(bare, marks, decimal)
    if not mark:
        raise CellError(f"{quoted(text)} may be either of two numbers; say decimal: '.' or decimal: ','")
    whole, _, part = bare.partition(mark) if mark in bare else (bare, "", "")
    thousands = "," if mark == "." else "."
    groups = whole.split(thousands)
    if thousands in part or mark in part or any(len(group) != 3 for group in groups[1:]):
        raise CellError(f"{quoted(text)} is no number with the decimal mark '{mark}'")
    return f"{''.join(groups) or '0'}.{part or '0'}"


def _mark_of(bare: str, marks: list[str], decimal: str) -> str:
    """Return the decimal mark of a number; "" where the one mark in it may separate thousands as well."""
    if decimal:
        return decimal
    found = _sure(bare, marks)
    if found:
        return found
    return "." if marks == ["."] else ""


def _sure_mark(clean: str) -> str:
    match = _CELL.fullmatch(clean)
    bare = match["number"].replace(" ", "").replace("'", "") if match else ""
    return _sure(bare, _MARKED.findall(bare))


def _sure(bare: str, marks: list[str]) -> str:
    """Return the decimal mark where the number leaves no doubt about it."""
    if not marks:
        return ""
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return "." if marks[0] == "," else ","
    whole, _, part = bare.partition(marks[0])
    thousands = len(part) == 3 and whole.isdigit() and 1 <= len(whole) <= 3 and whole[0] != "0"
    return "" if thousands else marks[0]


def _currency(match: re.Match[str], text: str) -> str:
    before = (match["before"].strip() + match["code"].strip()).strip()
    after = _UNIT.sub("", match["after"]).strip(" )")
    found = {_code(part, text) for part in (before, after) if part} - {""}
    if len(found) > 1:
        raise CellError(f"{quoted(text)} names two currencies")
    return found.pop() if found else ""


def _code(word: str, text: str) -> str:
    if word in _SYMBOLS:
        return _SYMBOLS[word]
    if len(word) == 3 and word.isascii() and word.isalpha() and word.isupper():
        return word
    raise CellError(f"{quoted(text)} is no price: {quoted(word)} with the number")


def _decimals(amount: Decimal) -> int:
    return max(0, -int(amount.normalize().as_tuple().exponent))
