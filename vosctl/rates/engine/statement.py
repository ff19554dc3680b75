"""The SQL that turns calls whose rows were looked up into rated calls (``vosctl.rates.engine.rated``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from vosctl.rates.engine.amounts import Terms
from vosctl.rates.engine.rated import CALLS, RATED

# What a candidate has, and the column of a rated call that it becomes for its side.
_PARTS = ("state", "source", "prefix", "destination", "seconds", "total", "net")
PREFIXES = {"customer_prefix", "vendor_prefix"}
DESTINATIONS = {"customer_destination", "vendor_destination"}
_SOURCES = {"customer_source", "vendor_source"}
_MONEY = {"customer": "revenue", "vendor": "expense"}


class Candidate(Struct, frozen=True):
    """A deck that a side of a call may be rated by: ``name`` in SQL, the side's tariff, which deck, as SQL of a name."""

    name: str
    side: str
    deck: str


def needed_calls(columns: Collection[str]) -> list[str]:
    """Return the columns of a call that a rated call with ``columns`` is made of."""
    always = {"duration_ms", "callee"} if PREFIXES.intersection(columns) else {"duration_ms"}
    return [name for name in CALLS if name in columns or name in always]


def rated_query(
    columns: Collection[str],
    candidates: Sequence[Candidate],
    terms: Mapping[str, Terms],
    tables: str,
    *,
    monthly: bool,
) -> str:
    """Return the query of rated calls with ``columns``, over the relation ``looked_up``; ``tables`` begin the names of the tables of factors.

    ``monthly``: the relation says how long a call is for each candidate (``months``).
    """
    source = bool(_SOURCES.intersection(columns))
    joined = ["*"] + [sql for each in candidates for sql in terms[each.side].alike(each.name)]
    if not monthly:
        joined += [f"duration_ms as {each.name}_ms" for each in candidates]
    stepped = ", ".join(["*", *(terms[each.side].steps(each.name) for each in candidates)])
    joins = "".join(
        terms[each.side].joins(each.name, f"{tables}_{each.side}", source=source) for each in candidates
    )
    sixties = ", ".join(["*", *(terms[each.side].sixty(each.name) for each in candidates)])
    priced = ", ".join(
        [
            "*",
            *(_priced(each, terms[each.side], columns) for each in candidates),
        ]
    )
    query = f"select {stepped} from (select {', '.join(joined)} from looked_up {joins})"
    query = f"select {priced} from (select {sixties} from ({query}))"
    found: dict[str, str] = {name: name for name in CALLS}
    for side in dict.fromkeys(each.side for each in candidates):
        found |= _side(side, [each.name for each in candidates if each.side == side])
    if {"revenue", "expense"} <= found.keys():
        found["margin"] = f"{found['revenue']} - {found['expense']}"
    chosen = ", ".join(f"{found[name]} as {name}" for name in RATED if name in columns)
    return f"select {chosen} from ({query})"


def _priced(candidate: Candidate, terms: Terms, columns: Collection[str]) -> str:
    """Return SQL of what a candidate comes to; null where its row is blocked or there is none."""
    own = candidate.name
    rated = f"case when {terms.rated(own)} then"
    parts = {
        "state": terms.state(own),
        "total": f"{rated} {terms.amount(own, 'total')} end",
        "net": f"{rated} {terms.amount(own, 'net' if terms.taxed else 'total')} end",
    }
    if f"{candidate.side}_seconds" in columns:
        parts["seconds"] = f"{rated} {terms.seconds(own)} end"
    if PREFIXES.intersection(columns):
        parts["prefix"] = f"{rated} left(callee, {own}_length) end"
    return ", ".join(f"{sql} as {own}_{part}" for part, sql in parts.items())


def _side(side: str, names: Sequence[str]) -> dict[str, str]:
    """Return SQL of a side's columns: those of the candidate whose total is the least, the first of equals."""
    found = {}
    for part in _PARTS:
        column = _MONEY[side] if part == "net" else f"{side}_{part}"
        first = f"{names[0]}_{part}"
        whens = "".join(f" when {_cheapest(name, names)} then {name}_{part}" for name in names[1:])
        found[column] = f"case{whens} else {first} end" if whens else first
    return found


def _cheapest(name: str, names: Sequence[str]) -> str:
    """Return SQL of whether a candidate is cheaper than those before it and not dearer than those after it."""
    at = names.index(name)
    before = [f"({each}_total is null or {name}_total < {each}_total)" for each in names[:at]]
    after = [f"({each}_total is null or {name}_total <= {each}_total)" for each in names[at + 1 :]]
    return " and ".join([f"{name}_total is not null", *before, *after])
