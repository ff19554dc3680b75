"""The port pool: even ports of a range for each local address, the one that rested longest first."""

from __future__ import annotations

import errno
from collections import deque
from typing import Callable, Deque, Dict, Iterable, Set, Tuple

from vosctl.relay.media.errors import RequestError

Descriptors = Tuple[int, int]


class Ports:
    """Even ports, each standing for itself (RTP) and the next (RTCP)."""

    def __init__(self, low: int = 16384, high: int = 32767) -> None:
        self._range = (low, high)
        self._free: Dict[str, Deque[int]] = {}
        self._used: Dict[str, Set[int]] = {}

    def configure(self, low: int, high: int, hosts: Iterable[str]) -> None:
        """Serve from another range from now on, on these addresses too; ports in use stay in use."""
        same = (low, high) == self._range
        self._range = (low, high)
        for host in {*self._used, *hosts}:
            self._used.setdefault(host, set())
            if not same or host not in self._free:
                self._free[host] = self._fresh(host)

    def take(self, host: str, bind: Callable[[str, int], Descriptors]) -> Tuple[int, Descriptors]:
        """Return a port and what ``bind`` made of it.

        A port that somebody else holds goes to the end of the queue. Raises RequestError: ``Ran out of
        ports`` when none is left, or what the system said of anything but a port in use.
        """
        if host not in self._free:
            self.configure(*self._range, (host,))
        used, free = self._used[host], self._free[host]
        for _ in range(len(free)):
            port = free.popleft()
            try:
                descriptors = bind(host, port)
            except OSError as error:
                free.append(port)
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            used.add(port)
            return port, descriptors
        raise RequestError("Ran out of ports")

    def give(self, host: str, port: int) -> None:
        """Put a port back; it is used again after all others."""
        self._used[host].discard(port)
        if self._range[0] <= port < self._range[1]:
            self._free[host].append(port)

    def figures(self) -> Dict[str, Dict[str, int]]:
        """Return ``{host: {"free": n, "used": n}}``."""
        return {host: {"free": len(free), "used": len(self._used[host])} for host, free in self._free.items()}

    def _fresh(self, host: str) -> Deque[int]:
        low, high = self._range
        used = self._used.get(host, set())
        return deque(port for port in range(low + low % 2, high, 2) if port not in used)
