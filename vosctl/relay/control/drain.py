"""Draining: no new calls are let in while those that run go on, until somebody takes it back."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Dict, Optional

LOG = logging.getLogger(__name__)

MOST_SECONDS = 3600.0

Json = Dict[str, Any]


class Drain:
    """Whether new calls are refused: by a person until taken back, or for some seconds.

    The person's word is kept in ``path`` (None: nowhere). A reboot takes the run directory and with it ``path`` away: a node comes back with its relay open.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._since = None if path is None else _load(path)
        self._until = 0.0

    def __bool__(self) -> bool:
        return self._since is not None or time.monotonic() < self._until

    def on(self) -> None:
        """Refuse new calls until ``off``. Raises ``OSError``."""
        if self._since is not None:
            return
        since = time.time()
        if self._path is not None:
            fresh = self._path.with_name(f".{self._path.name}.new")
            fresh.write_text(json.dumps({"since": since}))
            fresh.replace(self._path)
        self._since = since
        LOG.warning("draining: no new calls are taken")

    def hold(self, seconds: float) -> None:
        """Refuse new calls for so many seconds, at most ``MOST_SECONDS``; 0 ends what an earlier one began.

        Somebody who restarts the relay asks for this again and again: when he dies, calls are taken again.
        """
        self._until = time.monotonic() + min(seconds, MOST_SECONDS) if seconds > 0 else 0.0

    def off(self) -> None:
        """Take new calls again. Raises ``OSError``."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._since is not None:
            LOG.info("draining ends: new calls are taken")
        self._since = None
        self._until = 0.0

    def told(self) -> Optional[Json]:
        """Return ``since`` (seconds since the epoch, null for a passing one), None when calls are taken."""
        return {"since": self._since} if self else None

    async def command(self, request: Json, calls: int) -> Json:
        """Return the admin socket's answer to ``drain``: ``on``, true or false, or ``seconds``, or a mere look."""
        wrong = _wrong(request)
        if wrong:
            return {"ok": False, "error": wrong}
        try:
            if request.get("on") is True:
                self.on()
            elif request.get("on") is False:
                self.off()
            if request.get("seconds") is not None:
                self.hold(float(request["seconds"]))
        except OSError as error:
            return {"ok": False, "error": f"{self._path}: {error.strerror}"}
        return {"ok": True, "draining": self.told(), "calls": calls}


def _wrong(request: Json) -> str:
    on, seconds = request.get("on"), request.get("seconds")
    if on is not None and not isinstance(on, bool):
        return "on is true or false"
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float))):
        return "seconds is a number"
    return ""


def _load(path: Path) -> Optional[float]:
    try:
        return float(json.loads(path.read_text())["since"])
    except (OSError, ValueError, KeyError, TypeError):
        # One that cannot be read was meant all the same; it says that since it is there.
        return path.stat().st_mtime if path.exists() else None
