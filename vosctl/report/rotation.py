"""A rotation of keys as people read it, a line a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vosctl.rotation.events import Told
from vosctl.rotation.state import State, Step

_DONE = {
    Step.STAGE: "both ends hold {new}; new calls still use {old}",
    Step.ACTIVATE: "new calls use {new}; calls that run keep {old}",
    Step.WAIT: "no call holds {going} any more",
    Step.RETIRE: "both ends hold {new} alone",
    Step.RETURN: "new calls use {old} again; calls that run keep {new}",
    Step.WAIT_BACK: "no call holds {new} any more",
    Step.REMOVE: "both ends are as they were before",
}
_WIDTH = max(len(step.value) for step in Step)


class Lines:
    """A ``Watcher`` that writes what happens; a count of calls only where it changed."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._known = ""
        self._trunk = ""

    def told(self, event: Told) -> None:
        """Write the event."""
        if event.state is None:
            return
        if event.trunk != self._trunk:
            self._trunk = event.trunk
            self._write(title(event.state))
        text = _text(event, event.state)
        if text and text != self._known:
            self._known = text
            self._write(text)


def title(state: State) -> str:
    """Return the line above a rotation's steps."""
    mode = state.mode if state.mode == state.new_mode else f"{state.mode} to {state.new_mode}"
    return f"{state.trunk} ({' - '.join(state.ends)}, {mode}): {state.old_name} -> {state.new_name}"


def _text(event: Told, state: State) -> str:
    if event.what == "done":
        going = ", ".join(state.goes) or "an old key"
        words = _DONE[event.step].format(old=state.old_name, new=state.new_name, going=going)
        return f"  {event.step.value:<{_WIDTH}}  {words}"
    if event.what == "waiting" and event.calls and not any(event.calls.values()):
        return ""
    if event.what == "waiting":
        held = "; ".join(f"{end}: {_calls(calls)}" for end, calls in event.calls.items())
        return f"  {event.step.value:<{_WIDTH}}  {event.words}{f' ({held})' if held else ''}"
    if event.what == "undone":
        return f"  {event.step.value:<{_WIDTH}}  undone: {event.words}"
    if event.what == "ended":
        return f"  {event.words}"
    return ""


def _calls(calls: Mapping[str, Any]) -> str:
    return ", ".join(f"{kid} {count}" for kid, count in sorted(calls.items())) or "no calls"
