"""The one error that the agent reports to the controller."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AgentError(Exception):
    """What went wrong, of which kind, in which step and with which thing, and what to do about it.

    ``kind`` is ``locked``, ``denied``, ``unsupported`` or ``io``.
    """

    def __init__(self, kind: str, message: str, *, hint: str = "", step: str = "", item: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.step = step
        self.item = item

    def frame(self) -> dict[str, Any]:
        """Return the error as a frame for the controller."""
        return {
            "op": "error",
            "kind": self.kind,
            "error": self.message,
            "hint": self.hint,
            "step": self.step,
            "item": self.item,
        }


def from_os(error: OSError, *, step: str = "", item: str = "") -> AgentError:
    """Return an AgentError for a failed system call, with a hint for the usual reasons."""
    hint = _HINTS.get(error.errno or 0, "")
    kind = "denied" if error.errno in (1, 13) else "io"
    what = error.strerror or str(error)
    where = item or str(error.filename or "")
    return AgentError(kind, f"{where}: {what}" if where else what, hint=hint, step=step, item=where)


_HINTS = {
    1: "the file may be immutable (lsattr) or the container lacks the right",
    13: "the login needs root: set become: true",
    28: "the disk is full: make room on the node and apply again",
    30: "the file system is mounted read-only: see dmesg, remount it read-write",
    122: "the disk quota is used up",
}
