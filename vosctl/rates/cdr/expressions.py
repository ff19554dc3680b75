"""SQL that reads one column of CDRs: what it means, and why it cannot be read where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vosctl.rates.cdr.mapping import CdrFormat
from vosctl.rates.engine.amounts import LONGEST_MS
from vosctl.rates.engine.rated import ANSWERED, UNIT
from vosctl.rates.engine.sql import literal

_TEXTS = (
    "call_id",
    "customer",
    "customer_gateway",
    "customer_deck",
    "vendor",
    "vendor_gateway",
    "vendor_deck",
    "agent",
)
_WHOLE = ("pdd_ms", "cause")
_MONEY = ("billed", "cost")
_CLOCK = r"^\d+:[0-5]?\d(:[0-5]?\d)?(\.\d+)?$"
_NUMBER = r"^[0-9]{1,32}$"


def fields(columns: Mapping[str, str], types: Mapping[str, str], mapping: CdrFormat) -> dict[str, str]:
    """Return SQL of each field of a call; null where it is missing or cannot be read."""

    def text(name: str) -> str:
        return f"nullif(trim({columns[name]}::varchar), '')" if name in columns else "null::varchar"

    found = {name: text(name) for name in _TEXTS}
    found["started"] = _started(text("started"), types[columns["started"]], mapping)
    found["duration_ms"] = _duration(columns, types, text)
    found["caller"] = _caller(text("caller"))
    found["callee"] = _callee(text("callee"), mapping)
    found |= {name: f"try_cast({text(name)} as integer)" for name in _WHOLE}
    if "cause" not in columns:
        found["cause"] = f"case when {found['duration_ms']} > 0 then {ANSWERED} end"
    if "pdd_ms" not in columns and "pdd" in columns:
        found["pdd_ms"] = f"round(try_cast({text('pdd')} as decimal(18, 6)) * 1000)::integer"
    found |= {name: f"try_cast({_decimal(text(name), mapping)} * {UNIT} as bigint)" for name in _MONEY}
    return found


def problems(columns: Mapping[str, str], mapping: CdrFormat) -> Iterator[tuple[str, str, str]]:
    """Yield (SQL of a condition on the fields, the column it is about, what is wrong) for what refuses a call."""
    duration = columns.get("duration_ms", columns.get("duration", ""))
    yield "started is null", columns["started"], "is no time"
    yield "callee is null", columns["callee"], "is no number"
    yield f"not regexp_matches(callee, '{_NUMBER}')", columns["callee"], "is no number"
    yield "duration_ms is null", duration, "is no duration"
    yield "duration_ms < 0", duration, "is less than nothing"
    yield f"duration_ms > {LONGEST_MS}", duration, "is more than thirty days"
    for name in _MONEY:
        if name in columns:
            given = f"nullif(trim({columns[name]}::varchar), '')"
            amount = _decimal(given, mapping)
            yield f"{given} is not null and {amount} is null", columns[name], "is no amount"
            yield f"{amount} * {UNIT} <> {name}", columns[name], "has more than 8 decimals"


def _started(text: str, kind: str, mapping: CdrFormat) -> str:
    """Return UTC: the session's time zone is the mapping's, so times without one are read in it."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"try_cast({text} as timestamptz) at time zone 'UTC'"
    form = mapping.time_format
    if form in {"epoch", "epoch_ms"}:
        scale = 1_000_000 if form == "epoch" else 1000
        return f"make_timestamp((try_cast({text} as decimal(28, 6)) * {scale})::bigint)"
    parsed = f"try_strptime({text}, {literal(form)})" if form else text
    return f"try_cast({parsed} as timestamptz) at time zone 'UTC'"


def _duration(columns: Mapping[str, str], types: Mapping[str, str], text: Callable[[str], str]) -> str:
    name = "duration_ms" if "duration_ms" in columns else "duration"
    scale = 1 if name == "duration_ms" else 1000
    given = columns[name]
    if types[columns[name]] in {"BIGINT", "INTEGER"}:
        return f"{given}::bigint * {scale}"
    own = text(name)
    plain = f"round(try_cast({own} as decimal(18, 6)) * {scale})::bigint"
    parts = f"string_split({own}, ':')"
    clock = (
        f"case when regexp_matches({own}, '{_CLOCK}') then round(try_cast({parts}[-1] as decimal(18, 6)) * 1000)::bigint"
        f" + try_cast({parts}[-2] as bigint) * 60000 + coalesce(try_cast({parts}[-3] as bigint), 0) * 3600000 end"
    )
    unanswered = ""
    if "cause" in columns:
        unanswered = f" when {own} is null and try_cast({text('cause')} as integer) <> {ANSWERED} then 0"
    return f"case{unanswered} when contains({own}, ':') then {clock} else {plain} end"


def _bare(text: str) -> str:
    """Return a number without what people and SIP write around its digits."""
    return (
        f"regexp_replace(regexp_replace({text}, '^<?(sips?:|tel:)|[@;>].*$', '', 'g'), '[ ./()+-]', '', 'g')"
    )


def _callee(text: str, mapping: CdrFormat) -> str:
    bare = _bare(text)
    if not mapping.strip:
        return bare
    cases = "".join(
        f" when starts_with({bare}, {literal(each.replace('+', ''))}) then substr({bare}, {len(each.replace('+', '')) + 1})"
        for each in mapping.strip
        if each != "+"
    )
    return f"case{cases} else {bare} end" if cases else bare


def _caller(text: str) -> str:
    """Return the caller's digits, null for one who hides them."""
    return f"nullif(regexp_extract({_bare(text)}, '{_NUMBER}'), '')"


def _decimal(text: str, mapping: CdrFormat) -> str:
    plain = text if mapping.decimal == "." else f"replace(replace({text}, '.', ''), ',', '.')"
    return f"try_cast({plain} as decimal(28, 12))"
