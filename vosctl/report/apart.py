"""Keeps a processor from ever holding up, failing or changing a run: it works in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic

from vosctl.push.event import Event
from vosctl.push.processor import Processor

# Of 10,000 nodes with a dozen events each, a log can be this far behind.
ROOM = 200_000
PATIENCE = 10.0


class Apart:
    """A ``Processor`` that hands events to another one from a thread, and never raises.

    ``told`` is called with the first error of the other one, and at the end with what it did not hear.
    """

    def __init__(self, name: str, processor: Processor, told: Callable[[str], None]) -> None:
        self._name = name
        self._processor = processor
        self._told = told
        self._waiting: queue.Queue[Event | None] = queue.Queue(ROOM)
        self._errors = self._lost = 0
        # A daemon: a processor that hangs must not keep vosctl from ending.
        self._thread = threading.Thread(target=self._work, name=f"processor {name}", daemon=True)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Queue an event; where the other one is too far behind it is lost, and counted."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._lost += 1

    def close(self, *, patience: float = PATIENCE) -> None:
        """Give the other one so many seconds to hear all events, then leave it."""
        until = monotonic() + patience
        try:
            self._waiting.put(None, timeout=patience)
        except queue.Full:
            self._lost += 1
        self._thread.join(max(0.0, until - monotonic()))
        if self._thread.is_alive():
            left = self._waiting.qsize()
            self._told(f"{self._name} still works after {patience:g} s and is left; {left} events not heard")
        elif self._lost:
            self._told(f"{self._name} was too slow and did not hear {self._lost} events")
        elif self._errors > 1:
            self._told(f"{self._name} failed at {self._errors} events")

    def _work(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._processor.handle(event)
            except Exception as error:  # noqa: BLE001  somebody else's code: whatever it is, the run goes on
                self._errors += 1
                if self._errors == 1:
                    self._told(f"{self._name} failed at {event.name}: {_said(error)}; the run goes on")


def _said(error: Exception) -> str:
    """Return an error's kind, with its words only where they are ours: others may quote a URL with a token."""
    return str(error) if isinstance(error, ProcessorError) else type(error).__name__


class ProcessorError(Exception):
    """What a built-in processor could not do, in words that hold no secret."""
