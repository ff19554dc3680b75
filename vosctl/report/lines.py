"""A run as lines, for pipes and CI; and as lines of JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

from vosctl.push.event import BatchStarted, Event, GoingBack, HostFinished, Pausing, RunStarted, Stopped
from vosctl.report.events import as_dict, figures, line

_OF_BATCHES = (BatchStarted, GoingBack, Pausing, Stopped)


class PlainLines:
    """A ``Processor`` that writes what happens to batches and, with ``hosts``, a line for each node at its end."""

    def __init__(self, write: Callable[[str], None], *, hosts: bool = True) -> None:
        self._write = write
        self._hosts = hosts
        self._done = self._total = 0

    def handle(self, event: Event) -> None:
        """Write ``[3/20] edge-a: changed, 4 changes, 2.1 s``, or what becomes of a batch."""
        if isinstance(event, RunStarted):
            self._total = len(event.nodes)
        elif isinstance(event, HostFinished):
            self._done += 1
            if self._hosts:
                width = len(str(self._total))
                self._write(
                    f"[{self._done:>{width}}/{self._total}] {event.node}: {_one_line(figures(event))}"
                )
        elif isinstance(event, _OF_BATCHES) and (text := line(event)):
            self._write(text)


class JsonLines:
    """A ``Processor`` that writes each event as one line of JSON (schemas/events.json)."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._run = ""

    def handle(self, event: Event) -> None:
        """Write the event."""
        if isinstance(event, RunStarted):
            self._run = event.run
        self._write(json.dumps(as_dict(event, run=self._run), separators=(",", ":"), default=str))


def _one_line(text: str) -> str:
    return " ".join(text.split())
