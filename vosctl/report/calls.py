"""The Current Call monitor: a row a leg, sorted, filtered, and coloured where a figure is no longer good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable

Json = Mapping[str, Any]

LONGEST_ID = 24


@dataclass(frozen=True, slots=True)
class Threshold:
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


@dataclass(frozen=True, slots=True)
class Choice:
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


def table(nodes: Mapping[str, Sequence[Json]], choice: Choice, *, now: float) -> Table:
    """Return the calls of all nodes as one table, times in ms; ``now`` is in seconds since the epoch."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    # On a narrow terminal names give way first, figures stay whole.
    for heading in ("node", "call"):
        made.add_column(heading, overflow="ellipsis")
    made.add_column("age", no_wrap=True, justify="right")
    made.add_column("leg", overflow="ellipsis")
    made.add_column("codec", no_wrap=True)
    made.add_column("key", overflow="fold")
    for heading in ("packets", "loss %", "jitter", "delay", "rtt", "MOS"):
        made.add_column(heading, no_wrap=True, justify="right")
    made.add_column("media from", overflow="ellipsis")
    named = [{**call, "node": node} for node, calls in nodes.items() for call in calls]
    for call in choose(named, choice):
        for row in _rows(call, now):
            made.add_row(*row)
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


def _rows(call: Json, now: float) -> Iterator[list[Text]]:
    state = "" if call.get("answered") else " (rings)"
    age = str(timedelta(seconds=max(0, int(now - float(call.get("started") or now)))))
    lead = [_text(call["node"]), _text(_short(str(call.get("call-id"))) + state), _text(age)]
    legs = list(_legs(call))
    for leg in legs:
        yield [*lead, *_cells(leg)]
        lead = [Text(), Text(), Text()]
    if not legs:
        yield [*lead, _text(f"{call.get('from') or '?'} to {call.get('to') or '?'}, no media here")]


def _cells(leg: Json) -> Iterator[Text]:
    yield _text(leg.get("name") or "unnamed")
    yield _text(leg.get("codec") or "-")
    kid = _text(leg.get("kid") or leg.get("mode") or "-")
    if leg.get("key_mismatch"):
        kid = Text(f"{kid} MISMATCH", style="bold red")
    yield kid
    yield _text(leg.get("packets", "-"))
    for name, figure in _FIGURES.items():
        value = figure(leg)
        digits = 2 if name == "loss" else 1
        yield Text("-" if value is None else f"{value:.{digits}f}", style=THRESHOLDS[name].style(value))
    mos = _number(leg, "mos")
    yield Text("-" if not mos else f"{mos:.2f}", style=_mos_style(mos))
    where = leg.get("learned") or leg.get("remote")
    yield _text(f"{where[0]}:{where[1]}" if where else "-")


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
