"""What came of an operation on one node."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct, field

from vosctl.errors import VosctlError
from vosctl.plan.change import Plan


class Status(Enum):
    """How a node came out of an operation; the words of the recap. ``UNTOUCHED``: the run stopped before it."""

    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    ROLLED_BACK = "rolled_back"
    UNTOUCHED = "untouched"


class HostResult(Struct, frozen=True):
    """The outcome for one node.

    - ``plan`` is there as soon as a plan could be made, also when the apply then failed.
    - ``report`` is the node's answer to ``status`` and ``facts``, and what an apply did
      (``changed``, ``restarted``, ``id``, and ``deadline`` while it waits for a confirmation);
      ``batch`` and ``outcome`` say what became of the node in a rollout.
    - ``timings``: seconds by step name (``connect``, ``inspect``, ``plan``, ``apply``, ``confirm``).
    """

    node: str
    status: Status
    plan: Plan | None = None
    error: VosctlError | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """The exit code that this node alone would give."""
        return self.error.exit_code if self.error else 0


def exit_code(results: Mapping[str, HostResult]) -> int:
    """Return the exit code of a run: 6 before 4 before 2 before 1 before 0.

    A node that went back is what an operator must look at first, then one that may be cut off.
    """
    codes = {result.exit_code for result in results.values()}
    return next((code for code in (6, 4, 2) if code in codes), max(codes, default=0))
