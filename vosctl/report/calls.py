"""The Current Call monitor: a row a leg, sorted, filtered, and coloured where a figure is no longer good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct
from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable

Json = Mapping[str, Any]

LONGEST_ID = 24
WIDE = 200
_FIGURE_COLUMNS = ("age", "packets", "loss %", "jitter", "delay", "rtt", "MOS")
_COLUMNS = ("node", "call", "age", "leg", "codec", "key", *_FIGURE_COLUMNS[1:], "media from")
# The fewest columns of a terminal in which a heading has its place.
_LEAST = {"media from": 112, "key": 96, "node": 96, "codec": 88}


class Threshold(Struct, frozen=True):
    """From where on a figure is no longer good, and from where on it is bad."""

    fair: float
    bad: float

    def style(self, value: float | None) -> str:
        """Return green, yellow or red (ITU-T G.114 is where the delays come from); nothing where nothing is known."""
        if value is None:
            return "dim"
        return "bold red" if value >= self.bad else "yellow" if value >= self.fair else "green"


# Percent and milliseconds.
THRESHOLDS = {
    "loss": Threshold(0.5, 2.0),
    "jitter": Threshold(20.0, 50.0),
    "delay": Threshold(150.0, 300.0),
    "rtt": Threshold(300.0, 500.0),
}
# The user satisfaction scale of ITU-T G.107 annex B: below 4.03 some are dissatisfied, below 3.6 many.
_MOS_FAIR, _MOS_BAD = 4.03, 3.6


class Choice(Struct, frozen=True):
    """Which calls are shown, and in what order.

    ``name`` is a gateway or trunk, ``text`` a part of the call-id, ``poor`` keeps calls with a figure that is no
    longer good, ``top`` is how many are shown (0: all).
    """

    sort: str = "age"
    reverse: bool = False
    name: str | None = None
    text: str | None = None
    poor: bool = False
    top: int = 0


def loss(leg: Json) -> float | None:
    """Return the percentage of packets that did not arrive (RFC 3550 §6.4.1), None where none was expected."""
    expected = _number(leg, "expected")
    if not expected:
        return None
    return max(0.0, 100.0 * (_number(leg, "lost") or 0.0) / expected)


def delay(leg: Json) -> float | None:
    """Return the one-way delay in ms: half of the round trip, and what the playout buffer adds."""
    rtt = _number(leg, "rtt_ms")
    return None if rtt is None else rtt / 2 + (_number(leg, "playout_ms") or 0.0)


_FIGURES: Mapping[str, Callable[[Json], float | None]] = {
    "loss": loss,
    "jitter": lambda leg: _number(leg, "jitter_ms") if leg.get("packets") else None,
    "delay": delay,
    "rtt": lambda leg: _number(leg, "rtt_ms"),
}


def choose(calls: Iterable[Json], choice: Choice) -> list[Json]:
    """Return the calls that are wanted, the worst, longest or first in the alphabet on top."""
    found = sorted((call for call in calls if _wanted(call, choice)), key=ORDERS[choice.sort])
    if choice.reverse:
        found.reverse()
    return found[: choice.top] if choice.top else found


def _wanted(call: Json, choice: Choice) -> bool:
    if choice.name is not None and choice.name not in (call.get("from"), call.get("to")):
        return False
    if choice.text is not None and choice.text not in str(call.get("call-id")):
        return False
    return not choice.poor or any(_poor(leg) for leg in _legs(call))


def _poor(leg: Json) -> bool:
    if leg.get("key_mismatch"):
        return True
    figures = ((THRESHOLDS[name], figure(leg)) for name, figure in _FIGURES.items())
    return any(value is not None and value >= limit.fair for limit, value in figures)


def _worst(name: str) -> Callable[[Json], float]:
    figure = _FIGURES[name]
    return lambda call: -max((figure(leg) or 0.0 for leg in _legs(call)), default=0.0)


# The call that an operator looks for comes first.
ORDERS: Mapping[str, Callable[[Json], Any]] = {
    "age": lambda call: float(call.get("started") or 0.0),
    "call": lambda call: str(call.get("call-id")),
    "from": lambda call: (str(call.get("from")), str(call.get("to"))),
    "to": lambda call: (str(call.get("to")), str(call.get("from"))),
    "packets": lambda call: -sum(_number(leg, "packets") or 0.0 for leg in _legs(call)),
    "mos": lambda call: min((mos for leg in _legs(call) if (mos := _number(leg, "mos"))), default=5.0),
    **{name: _worst(name) for name in _FIGURES},
}


def table(nodes: Mapping[str, Sequence[Json]], choice: Choice, *, now: float, width: int = WIDE) -> Table:
    """Return the calls of all nodes as one table, times in ms; ``now`` is in seconds since the epoch.

    In fewer than ``WIDE`` columns of ``width`` what can be seen elsewhere is left out, figures last.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    left_out = {name for name, least in _LEAST.items() if width < least}
    if len(nodes) > 1:
        left_out.discard("node")
    headings = [heading for heading in _COLUMNS if heading not in left_out]
    for heading in headings:
        figure = heading in _FIGURE_COLUMNS
        # Names give way first, figures stay whole.
        made.add_column(
            heading,
            overflow="ellipsis",
            no_wrap=figure or heading == "codec",
            justify="right" if figure else "left",
        )
    named = [{**call, "node": node} for node, calls in nodes.items() for call in calls]
    for call in choose(named, choice):
        for row in _rows(call, now):
            if "key" in left_out and row.get("leg") and "MISMATCH" in row["key"].plain:
                row["leg"] = Text.assemble(("KEY? ", "bold red"), row["leg"])
            made.add_row(*(row.get(heading, Text()) for heading in headings))
    return made


def summary(nodes: Mapping[str, Sequence[Json]], choice: Choice) -> str:
    """Return how many calls there are, and how many of them are not shown or not good."""
    every = [call for calls in nodes.values() for call in calls]
    shown = len(choose(every, choice))
    poor = sum(any(_poor(leg) for leg in _legs(call)) for call in every)
    words = f"{len(every)} calls" if len(every) != 1 else "1 call"
    if shown != len(every):
        words += f", {shown} shown"
    return f"{words}, {poor} with a figure that is not good" if poor else words


def _rows(call: Json, now: float) -> Iterator[dict[str, Text]]:
    """Yield a row a leg, by heading; what is the call's own stands in the first."""
    state = "" if call.get("answered") else " (rings)"
    age = str(timedelta(seconds=max(0, int(now - float(call.get("started") or now)))))
    lead = {
        "node": _text(call["node"]),
        "call": _text(_short(str(call.get("call-id"))) + state),
        "age": _text(age),
    }
    legs = list(_legs(call))
    for leg in legs:
        yield {**lead, **_cells(leg)}
        lead = {}
    if not legs:
        yield {**lead, "leg": _text(f"{call.get('from') or '?'} to {call.get('to') or '?'}, no media here")}


def _cells(leg: Json) -> dict[str, Text]:
    key = _text(leg.get("kid") or leg.get("mode") or "-")
    if leg.get("key_mismatch"):
        key = Text(f"{key} MISMATCH", style="bold red")
    mos = _number(leg, "mos")
    where = leg.get("learned") or leg.get("remote")
    figures = {}
    for name, figure in _FIGURES.items():
        value = figure(leg)
        digits = 2 if name == "loss" else 1
        text = "-" if value is None else f"{value:.{digits}f}"
        figures["loss %" if name == "loss" else name] = Text(text, style=THRESHOLDS[name].style(value))
    return {
        "leg": _text(leg.get("name") or "unnamed"),
        "codec": _text(_codec(leg)),
        "key": key,
        "packets": _text(leg.get("packets", "-")),
        **figures,
        "MOS": Text("-" if not mos else f"{mos:.2f}", style=_mos_style(mos)),
        "media from": _text(f"{where[0]}:{where[1]}" if where else "-"),
    }


def _codec(leg: Json) -> str:
    """Return the codec and how many ms of sound a packet holds, as far as they are known: PCMA/20."""
    ptime = _number(leg, "ptime_ms")
    return f"{leg.get('codec') or '-'}{f'/{ptime:g}' if ptime else ''}"


def _mos_style(mos: float | None) -> str:
    if not mos:
        return "dim"
    return "bold red" if mos < _MOS_BAD else "yellow" if mos < _MOS_FAIR else "green"


def _text(value: object) -> Text:
    # Call-ids come from strangers: nothing in them may move the cursor.
    return Text(printable(str(value)))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_ID else f"{text[: LONGEST_ID - 1]}…"


def _legs(call: Json) -> Sequence[Json]:
    legs = call.get("legs")
    return legs if isinstance(legs, list) else []


def _number(leg: Json, name: str) -> float | None:
    value = leg.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
