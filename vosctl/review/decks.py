"""Rates as they are written: what customers pay and vendors cost, now and from a day on, and by which terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from vosctl.rates.compare import Kind, Move, count, moves
from vosctl.rates.guard import plain
from vosctl.review.model import Area, Finding
from vosctl.review.same import Sameness
from vosctl.review.words import moved
from vosctl.site.decks import Account, Agent, Deck, Package, Phone, Rate, Rates

_Holder = Account | Phone | Package | Agent

_FEW_ROWS = 5
_LABELS = {
    "first_rate": "first rate",
    "first_seconds": "first seconds",
    "connect": "connect fee",
    "free_seconds": "free seconds",
    "valid_until": "until",
}
_OF_A_DECK = ("currency", "rounding", "tax", "calendar", "tiers", "commitment")
_WORDS = {Kind.UP: "up", Kind.DOWN: "down", Kind.NEW: "new", Kind.GONE: "gone", Kind.TERMS: "on other terms"}


def decks(before: Rates, after: Rates, same: Sameness) -> Iterator[Finding]:
    """Yield what changed in currencies, decks, accounts and packages."""
    if before.currency != after.currency:
        yield Finding(Area.RATES, "rates", moved("currency", before.currency, after.currency))
    for code in sorted({*before.exchange, *after.exchange}):
        old, new = before.exchange.get(code), after.exchange.get(code)
        if old != new:
            yield Finding(Area.RATES, "rates", moved(f"one {code} in {after.currency}", old, new))
    olds, news = _named(before), _named(after)
    for subject in sorted({*olds, *news}):
        yield from _deck(subject, olds.get(subject), news.get(subject), same)
    for kind, was, now in (
        ("account", before.accounts, after.accounts),
        ("phone", before.phones, after.phones),
        ("package", before.packages, after.packages),
        ("agent", before.agents, after.agents),
    ):
        yield from _holders(kind, was, now, same)


def _named(rates: Rates) -> dict[str, Deck]:
    found = {f"customers' rates {name}": deck for name, deck in rates.groups.items()}
    found |= {f"vendors' rates {name}": deck for name, deck in rates.clearing.items()}
    private = [each.private for each in rates.accounts.values()]
    private += [each.private for each in rates.phones.values()]
    found |= {f"rates {deck.name}": deck for deck in private if deck is not None}
    return found


def _deck(subject: str, old: Deck | None, new: Deck | None, same: Sameness) -> Iterator[Finding]:
    if old is None or new is None:
        deck = new or old
        assert deck is not None
        text = f"{'new' if new else 'removed'}, {len(deck.rows)} prefixes"
        yield Finding(Area.RATES, subject, text, (), deck.mark, gone=new is None)
        return
    if same(old, new):
        return
    for term in _OF_A_DECK:
        was, now = getattr(old, term), getattr(new, term)
        if not same(was, now):
            yield Finding(Area.RATES, subject, _term(term, was, now), (), new.mark)
    found = list(moves(old, new))
    lines = tuple(f"{label(move.row)} {_text(move)}" for move in found)
    if len(found) <= _FEW_ROWS:
        for move, line in zip(found, lines, strict=True):
            yield Finding(Area.RATES, subject, line, (), move.row.mark, gone=move.kind is Kind.GONE)
    elif found:
        yield Finding(Area.RATES, subject, _counted(found), (), found[0].row.mark, detail=lines)


def _term(name: str, old: object, new: object) -> str:
    if name in {"currency", "tax"}:
        return moved(name, old, new)
    return f"other {name}" if old and new else f"{name} {'comes' if new else 'goes'}"


def label(row: Rate) -> str:
    """Return how a row is called: its prefix, its section, from when it holds."""
    parts = [row.prefix or "(all others)"]
    parts += [f"({row.section})"] if row.section else []
    parts += [f"from {moment_text(row.valid_from)}"] if row.valid_from else []
    return " ".join(parts)


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC as short as it can be said."""
    return moment.strftime(
        "%Y-%m-%d" if not (moment.hour or moment.minute or moment.second) else "%Y-%m-%dT%H:%MZ"
    )


def _text(move: Move) -> str:
    if move.old is None or move.new is None:
        state = "blocked" if move.row.blocked else f"{plain(move.row.rate)} a minute"
        return f"{'new, at' if move.new else 'gone, was'} {state}".replace("at blocked", "blocked")
    return ", ".join(_moved(term, move.old, move.new) for term in move.terms)


def _moved(term: str, old: Rate, new: Rate) -> str:
    if term == "rate":
        rise = "" if not old.rate else f" ({_signed(new.rate - old.rate, old.rate)})"
        return f"{plain(old.rate)} → {plain(new.rate)} a minute{rise}"
    was, now = getattr(old, term), getattr(new, term)
    if isinstance(was, datetime) or isinstance(now, datetime):
        was, now = (moment_text(each) if each else None for each in (was, now))
    return moved(_LABELS.get(term, term), was, now)


def _signed(difference: Decimal, base: Decimal) -> str:
    share = (difference * 100 / base).quantize(Decimal("0.1"))
    return f"{share:+f} %"


def _counted(found: list[Move]) -> str:
    counts = ((count(found, kind), word) for kind, word in _WORDS.items())
    return ", ".join(f"{number} {word}" for number, word in counts if number)


def _holders(
    kind: str, old: Mapping[str, _Holder], new: Mapping[str, _Holder], same: Sameness
) -> Iterator[Finding]:
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        one = was if now is None else now
        if one is not None and not (was and now and same(was, now)):
            text = "changed" if was and now else "new" if now else "removed"
            yield Finding(Area.RATES, f"{kind} {name}", text, (), one.mark, gone=now is None)
