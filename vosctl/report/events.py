"""Events as JSON-ready objects and as lines of text; nothing of the terminal is loaded for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vosctl.plan.printable import printable
from vosctl.push.event import (
    BatchStarted,
    Confirmed,
    Event,
    GateChecked,
    GoingBack,
    HostFinished,
    HostStep,
    Pausing,
    Recap,
    RolledBack,
    RunStarted,
    Stopped,
    words_of,
)
from vosctl.push.result import Status

BAD = frozenset({Status.FAILED, Status.UNREACHABLE, Status.ROLLED_BACK})


def as_dict(event: Event, *, run: str = "") -> dict[str, Any]:
    """Return an event as schemas/events.json describes it; ``run`` is the ``run`` of its ``RunStarted``."""
    found: dict[str, Any] = {"event": event.name, "time": round(event.time, 3), "run": run}
    if isinstance(event, HostFinished):
        return {**found, **words_of(event.result)}
    if isinstance(event, Recap):
        nodes = {name: words_of(result) for name, result in event.results.items()}
        ending = {"exit_code": event.exit_code, "seconds": round(event.seconds, 3)}
        return {**found, **ending, "interrupted": event.interrupted, "counts": event.counts, "nodes": nodes}
    own = {name: getattr(event, name) for name in event.__struct_fields__ if name != "time"}
    return {**found, **{name: list(v) if isinstance(v, tuple) else v for name, v in own.items()}}


def line(event: Event) -> str:
    """Return what an event says in one line, "" for one that is not worth a line (starts and steps of a node)."""
    say = _LINES.get(type(event))
    return "" if say is None else printable(say(event)).replace("\n", " ")


def figures(event: HostFinished) -> str:
    """Return ``changed, 4 changes, 2.1 s``; after a failure its reason."""
    result = event.result
    found = [result.status.value]
    count = len(result.plan.changes) if result.plan is not None else 0
    if count:
        found.append(f"{count} change{'' if count == 1 else 's'}")
    found.append(f"{sum(result.timings.values()):.1f} s")
    reason = "" if result.error is None else result.error.message.removeprefix(f"{result.node}: ")
    return ", ".join(found) + (f": {reason}" if reason else "")


def _run(event: RunStarted) -> str:
    revision = f" at {event.revision}" if event.revision else ""
    return f"{event.command}: {_count(len(event.nodes), 'node')}{revision}, by {event.holder or 'unknown'}"


def _batch(event: BatchStarted) -> str:
    return f"batch {event.number}/{event.of}: {', '.join(event.nodes)}" if event.of > 1 else ""


def _gate(event: GateChecked) -> str:
    return "" if event.ok else f"{event.node}: health gate {event.gate}: {event.why}"


def _back(event: RolledBack) -> str:
    return f"{event.node}: {'put back' if event.ok else 'NOT put back'}: {_bare(event.node, event.why)}"


def _going_back(event: GoingBack) -> str:
    return f"batch {event.number} goes back ({', '.join(event.nodes) or 'nothing was changed'}): {event.why}"


def _stopped(event: Stopped) -> str:
    rest = f"; not touched: {', '.join(event.left)}" if event.left else ""
    return f"stopped in batch {event.number}: {event.why}{rest}"


def _pause(event: Pausing) -> str:
    return f"pause: {event.seconds:g} s (nothing is being changed; --resume goes on after Ctrl-C)"


def _recap(event: Recap) -> str:
    if event.interrupted:
        return f"interrupted after {event.seconds:.1f} s"
    told = ", ".join(f"{count} {status}" for status, count in event.counts.items())
    return f"{told or 'no nodes'} in {event.seconds:.1f} s"


_LINES: Mapping[type[Event], Callable[[Any], str]] = {
    RunStarted: _run,
    BatchStarted: _batch,
    HostFinished: lambda event: f"{event.node}: {figures(event)}",
    GateChecked: _gate,
    RolledBack: _back,
    GoingBack: _going_back,
    Pausing: _pause,
    Stopped: _stopped,
    Recap: _recap,
}


def doing(event: HostStep | Confirmed) -> str:
    """Return what a node is at."""
    if isinstance(event, Confirmed):
        return "confirmed"
    return f"{event.step} {event.done}/{event.of}" if event.of else event.step


def _bare(node: str, why: str) -> str:
    return why.removeprefix(f"{node}: ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
