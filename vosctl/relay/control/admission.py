"""Who may begin a call: calls a second and calls at once, of each gateway and of the relay; and when a call must end."""

from __future__ import annotations

import heapq
import logging
import time
from collections import Counter, deque
from contextlib import contextmanager
from typing import Deque, Dict, Iterator, List, Optional, Tuple

from vosctl.relay.control.calls import Branch, Calls
from vosctl.relay.control.config import Config
from vosctl.relay.control.drain import Drain
from vosctl.relay.control.request import LoadLimitError
from vosctl.relay.control.settings import Limits

LOG = logging.getLogger(__name__)

# The relay itself, among names of gateways and trunks, which are never empty.
RELAY = ""
# Of a relay without a limit of its own: a call that goes around it takes no port, so that ports are no bound.
MOST_CALLS = 100_000


class LimitReachedError(LoadLimitError):
    """A limit is reached; ``which`` is ``cps``, ``concurrent`` or ``drain``."""

    def __init__(self, which: str, text: str) -> None:
        super().__init__(text)
        self.which = which


class Admission:
    """Counts the calls that begin; those that run are counted by the table of calls."""

    def __init__(self, calls: Calls) -> None:
        self.drain = Drain(None)
        self._calls = calls
        self._begun: Dict[str, Deque[float]] = {}
        # Calls that are let in and not in the table yet: media is still being asked for ports.
        self._coming: Counter[str] = Counter()

    @contextmanager
    def entering(self, config: Config, branch: Branch) -> Iterator[None]:
        """Let the branch in for as long as the block takes to put it into the table.

        A further branch of a call that runs (a fork) is not another call. Raises ``LimitReachedError``.
        """
        if self._calls.of(branch.call_id):
            yield
            return
        if self.drain:
            raise LimitReachedError("drain", "this relay is being drained and takes no new calls")
        if len(self._calls) + self._coming[RELAY] >= MOST_CALLS:
            raise LimitReachedError("concurrent", f"this relay has {MOST_CALLS} calls, all that it can have")
        limits = _limits(config, branch)
        now = time.monotonic()
        for name, limit in limits.items():
            self._check(name, limit, now)
        for name, limit in limits.items():
            if limit.cps:
                self._begun[name].append(now)
        for name in limits:
            self._coming[name] += 1
        try:
            yield
        finally:
            for name in limits:
                self._coming[name] -= 1

    def _check(self, name: str, limit: Limits, now: float) -> None:
        who = f"`{name}`" if name else "this relay"
        if limit.concurrent and self.running(name) + self._coming[name] >= limit.concurrent:
            raise LimitReachedError("concurrent", f"{who} has {limit.concurrent} calls, its limit")
        if not limit.cps:
            return
        begun = self._begun.get(name)
        if begun is None or begun.maxlen != limit.cps:
            begun = self._begun[name] = deque(begun or (), maxlen=limit.cps)
        if len(begun) == limit.cps and now - begun[0] < 1.0:
            raise LimitReachedError("cps", f"{who} began {limit.cps} calls within a second, its limit")

    def running(self, name: str) -> int:
        """Return how many calls ``name`` (``RELAY``: anybody) has."""
        return self._calls.count(name) if name else len(self._calls)


def _limits(config: Config, branch: Branch) -> Dict[str, Limits]:
    found = {RELAY: config.limits}
    for party in branch.parties:
        peer = config.peers.get(party.name)
        if peer is not None:
            found[peer.name] = peer.limits
    return found


def longest(config: Config, branch: Branch) -> Tuple[int, str]:
    """Return the most seconds that the branch may last (0: any) and whose limit that is."""
    found = [(limit.duration, name) for name, limit in _limits(config, branch).items() if limit.duration]
    return min(found) if found else (0, RELAY)


class Deadlines:
    """Answered branches by the time at which their longest duration ends."""

    def __init__(self) -> None:
        self._heap: List[Tuple[float, str]] = []

    def add(self, config: Config, branch: Branch) -> None:
        """Note when the branch must end; one that may last for ever is not noted."""
        seconds, _ = longest(config, branch) if branch.since else (0, RELAY)
        if seconds:
            heapq.heappush(self._heap, (branch.since + seconds, branch.media_id))

    def rebuild(self, config: Config, calls: Calls) -> None:
        """Note all calls anew, under other limits."""
        self._heap.clear()
        for branch in calls:
            self.add(config, branch)

    def due(self, now: float) -> Optional[str]:
        """Take out and return a branch whose time is over at ``now``, seconds since the epoch."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[1]
        return None
