"""The hook through which progress and results leave the core, which itself never prints."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from vosctl.push.event import Event


class Processor(Protocol):
    """Sees a run as it goes: displays it, logs it, tells a chat. Own ones: docs/seeing.md."""

    def handle(self, event: Event) -> None:
        """Be told what happened. Calls come one at a time, from any thread; keep them short."""


class Stream:
    """A ``Processor`` that hands events on to others, one at a time, whatever threads they come from."""

    def __init__(self, processors: Sequence[Processor] = ()) -> None:
        self._processors = tuple(processors)
        self._lock = threading.RLock()

    def handle(self, event: Event) -> None:
        """Hand on an event."""
        with self._lock:
            for processor in self._processors:
                processor.handle(event)
