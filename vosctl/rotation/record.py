"""What happened in rotations on this machine, an event a line, in ``.vosctl/rotations.jsonl``; no secrets in it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from vosctl.rotation.events import Told
from vosctl.rotation.state import now


class Record:
    """A ``Watcher`` that appends each event; where nothing can be written, it is not remembered here."""

    def __init__(self, folder: Path, who: str) -> None:
        self.path = folder / ".vosctl" / "rotations.jsonl"
        self._who = who

    def told(self, event: Told) -> None:
        """Append the event."""
        state = event.state
        words = {
            "at": now(),
            "who": self._who,
            "trunk": event.trunk,
            "step": event.step.value,
            "what": event.what,
            "words": event.words,
            "calls": {end: dict(held) for end, held in event.calls.items()},
            **({"id": state.id, "old": state.old, "new": state.new} if state is not None else {}),
        }
        with suppress(OSError):
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(handle, json.dumps(words).encode() + b"\n")
            finally:
                os.close(handle)
