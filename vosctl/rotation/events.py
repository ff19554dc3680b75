"""What a rotation is asked for, and what it tells as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from vosctl.rotation.state import State, Step


class Told(Struct, frozen=True):
    """Something happened in a rotation: ``what`` is begun, written, applied, verified, done, waiting, undone or ended.

    ``calls``: by end and key id; ``report``: of a rotation that ended; ``words`` are for people and hold no secret.
    """

    trunk: str
    step: Step
    what: str
    words: str = ""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    state: State | None = None
    report: Mapping[str, Any] | None = None


class Watcher(Protocol):
    """Sees a rotation as it goes."""

    def told(self, event: Told) -> None:
        """Be told what happened; what it raises ends the run where it stands."""


class Wishes(Struct, frozen=True):
    """How a rotation is done. Times are in seconds.

    - ``wait``: how long to wait for calls on the old key to end; None: the longest call that the gateways allow.
    - ``watch``: how long at least to look for streams that decrypt to noise after new calls use the new key.
    - ``patience``: how long to try again where an end fails once new calls may use the new key.
    - ``pause``: between two looks.
    """

    wait: float | None = None
    watch: float = 10.0
    patience: float = 60.0
    pause: float = 2.0
