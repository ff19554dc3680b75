"""What happens in a run over nodes, as events: the one thing that displays, logs and chats are fed with.

Names and fields are an interface (docs/seeing.md, schemas/events.json): they are added to, never renamed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import uuid4

from msgspec import Struct, field

from vosctl.push.result import HostResult, Status


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened; ``time`` is in seconds of the Unix epoch."""

    name: ClassVar[str] = "event"
    time: float = field(default_factory=time.time)


class RunStarted(Event, frozen=True):
    """A command begins with these nodes. ``run`` tells runs apart."""

    name: ClassVar[str] = "run_started"
    command: str
    nodes: tuple[str, ...]
    holder: str = ""
    revision: str | None = None
    run: str = field(default_factory=lambda: uuid4().hex)


class BatchStarted(Event, frozen=True):
    """The nodes of a batch are going to be changed; ``number`` counts from 1."""

    name: ClassVar[str] = "batch_started"
    number: int
    of: int
    nodes: tuple[str, ...]


class HostStarted(Event, frozen=True):
    """Work on a node begins."""

    name: ClassVar[str] = "host_started"
    node: str


class HostStep(Event, frozen=True):
    """A node is at a step (``connect``, ``inspect``, ``files``, …); ``of`` is 0 where it is not known."""

    name: ClassVar[str] = "host_step"
    node: str
    step: str
    done: int = 0
    of: int = 0


class Confirmed(Event, frozen=True):
    """A node was reached anew after its change and keeps it; ``id`` is the apply's in its history."""

    name: ClassVar[str] = "confirmed"
    node: str
    id: str


class RolledBack(Event, frozen=True):
    """A node went back to what it ran before, or (``ok`` false) was to and could not be made to."""

    name: ClassVar[str] = "rolled_back"
    node: str
    ok: bool
    why: str


class HostFinished(Event, frozen=True):
    """A node's operation came to its end. A later ``rolled_back`` may take the whole batch back."""

    name: ClassVar[str] = "host_finished"
    result: HostResult

    @property
    def node(self) -> str:
        """The node's name."""
        return self.result.node


class GateChecked(Event, frozen=True):
    """A health gate was looked at on a node after its batch; ``why`` says what is wrong where it does not hold."""

    name: ClassVar[str] = "gate"
    node: str
    gate: str
    ok: bool
    why: str = ""


class Pausing(Event, frozen=True):
    """Nothing is being changed for so many seconds."""

    name: ClassVar[str] = "pausing"
    seconds: float


class GoingBack(Event, frozen=True):
    """The changed nodes of a batch are put back."""

    name: ClassVar[str] = "going_back"
    number: int
    nodes: tuple[str, ...]
    why: str


class Stopped(Event, frozen=True):
    """The run ends in this batch; the nodes that are ``left`` are not touched."""

    name: ClassVar[str] = "stopped"
    number: int
    why: str
    left: tuple[str, ...]


class Recap(Event, frozen=True):
    """The run's end, always the last event. ``results`` is empty where it was interrupted."""

    name: ClassVar[str] = "recap"
    results: Mapping[str, HostResult]
    exit_code: int
    seconds: float
    interrupted: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes came out how, in the order of ``Status``; what did not happen is left out."""
        found = [result.status for result in self.results.values()]
        return {status.value: found.count(status) for status in Status if status in found}


EVENTS: tuple[type[Event], ...] = (
    RunStarted, BatchStarted, HostStarted, HostStep, Confirmed, RolledBack, HostFinished, GateChecked, Pausing,
    GoingBack, Stopped, Recap,
)  # fmt: skip


def words_of(result: HostResult) -> dict[str, Any]:
    """Return what an event tells of a node's result: its outcome and the names of what changed, no texts of files."""
    changes = result.plan.changes if result.plan is not None else ()
    error = result.error
    return {
        "node": result.node,
        "status": result.status.value,
        "changes": [
            {"kind": c.kind.value, "name": c.name, "action": c.action.value, "drift": c.drift}
            for c in changes
        ],
        "id": result.report.get("id"),
        "batch": result.report.get("batch"),
        "error": None if error is None else {"message": error.message, "hint": error.hint},
        "seconds": {step: round(value, 3) for step, value in result.timings.items()},
    }
