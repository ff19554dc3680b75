"""The jitter buffers of gateways: read from ``relay.json``, and given to the legs of what they send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Protocol, Tuple

from vosctl.relay.control.calls import Branch
from vosctl.relay.control.legs import SIDES, Command
from vosctl.relay.control.settings import SettingError

LONGEST_MS = 400
_MODES = ("adaptive", "fixed")
_AUDIO = "audio"


@dataclass(frozen=True)
class Buffer:
    """A jitter buffer: how long packets wait, in milliseconds."""

    mode: str
    minimum: int
    maximum: int
    start: int

    def as_json(self) -> Dict[str, Any]:
        """Return the buffer as the media process takes it."""
        return {"mode": self.mode, "min": self.minimum, "max": self.maximum, "start": self.start}


class Named(Protocol):
    """A gateway or a trunk."""

    @property
    def jitter(self) -> Optional[Buffer]:
        """Its jitter buffer, if it has one."""


def read_buffer(value: Any) -> Optional[Buffer]:
    """Return the buffer in ``{"mode", "min", "max", "start"}``, None for null. Raises ``SettingError``."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("mode") not in _MODES:
        raise SettingError(f"must be null or an object with a mode of {' or '.join(_MODES)}")
    bounds: List[Any] = [value.get(name) for name in ("min", "start", "max")]
    for given in bounds:
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= LONGEST_MS:
            raise SettingError(f"min, start and max must be whole numbers from 1 to {LONGEST_MS}")
    least, start, most = bounds
    if not least <= start <= most:
        raise SettingError("start must be from min to max")
    return Buffer(value["mode"], least, most, start)


def with_buffers(commands: List[Command], branch: Branch, peers: Mapping[str, Named]) -> List[Command]:
    """Return the commands with the buffer of each party's gateway on the leg of its sound.

    A buffer that a leg already has is not touched by being named again. A party without a name, or with a
    trunk's, has none: what a trunk brings was evened where it came in.
    """
    found = [peers.get(party.name) for party in branch.parties]
    buffers = [(side, peer.jitter if peer else None) for side, peer in zip(SIDES, found)]  # noqa: B905 (Python 3.9)
    if all(buffer is None for _, buffer in buffers):
        return commands
    return [
        _with(command, buffers)
        if branch.streams[command.stream].kind == _AUDIO and command.name in {"add", "change"}
        else command
        for command in commands
    ]


def _with(command: Command, buffers: List[Tuple[str, Optional[Buffer]]]) -> Command:
    fields = dict(command.fields)
    for side, buffer in buffers:
        if buffer is not None:
            fields[side] = {**fields.get(side, {}), "jitter": buffer.as_json()}
    return command._replace(fields=fields)
