"""Hooks through which progress and results leave the core, which itself never prints."""

from __future__ import annotations

from typing import Protocol

from vosctl.push.result import HostResult


class Processor(Protocol):
    """Sees a run as it goes. Calls come one at a time, from any thread; keep them short."""

    def host_started(self, node: str) -> None:
        """Be told that work on ``node`` begins."""

    def host_step(self, node: str, step: str, done: int, of: int) -> None:
        """Be told of a step (``connect``, ``inspect``, ``files``, …); ``of`` is 0 when unknown."""

    def host_finished(self, result: HostResult) -> None:
        """Be given the outcome of a node."""
