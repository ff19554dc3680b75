"""One at a time for each call-id: a queue for each that is busy, and nothing for the others."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Deque, Dict


class Locks:
    """Locks by name. They are handed on in the order in which they were asked for."""

    def __init__(self) -> None:
        # A name is in here while its lock is held, with those who wait for it.
        self._held: Dict[str, Deque[asyncio.Future[None]]] = {}

    async def acquire(self, name: str) -> None:
        """Wait until the lock called ``name`` is free, and take it."""
        queue = self._held.get(name)
        if queue is None:
            self._held[name] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(name)
            raise

    def release(self, name: str) -> None:
        """Hand the lock on to who has waited longest."""
        queue = self._held[name]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._held[name]

    def __call__(self, name: str) -> _Holding:
        """Hold the lock called ``name`` for an ``async with`` block."""
        return _Holding(self, name)


class _Holding:
    __slots__ = ("_locks", "_name")

    def __init__(self, locks: Locks, name: str) -> None:
        self._locks = locks
        self._name = name

    async def __aenter__(self) -> None:
        await self._locks.acquire(self._name)

    async def __aexit__(self, *_: object) -> None:
        self._locks.release(self._name)
