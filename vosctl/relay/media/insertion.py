"""Sound, digits and recordings of the relay's own: what control asks for beyond relaying."""

from __future__ import annotations

import base64
import binascii
import ctypes as c
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from vosctl.relay.media.calls import SIDES, Calls, Json, Running
from vosctl.relay.media.errors import RequestError
from vosctl.relay.media.plane import Plane
from vosctl.relay.media.recorder import MAX_FILE, Recorder

MAX_SOUND = 4 << 20
MAX_SOUNDS = 256 << 20  # bytes of all sound and tones that wait or play
MAX_DIGITS = 64
_DIGIT_BOUNDS = ((0, 255), (0, 63), (1, 65535), (0, 65535))


class _PlayConf(c.Structure):
    _fields_ = [
        (name, c.c_uint32) for name in ("payload_type", "frame", "repeat", "ssrc", "sequence", "timestamp")
    ]


class _Digit(c.Structure):
    _fields_ = [
        ("code", c.c_uint8),
        ("volume", c.c_uint8),
        ("duration", c.c_uint16),
        ("pause", c.c_uint16),
    ]


class _DigitsConf(c.Structure):
    _fields_ = [
        ("payload_type", c.c_uint32),
        ("count", c.c_uint32),
        ("digit", _Digit * MAX_DIGITS),
    ]


class Insertions:
    """Carries out ``play``, ``dial`` and ``record`` on running calls."""

    def __init__(self, plane: Plane, calls: Calls) -> None:
        self._handle = plane.handle
        self._calls = calls
        self._playing: Dict[Tuple[int, int], int] = {}
        self._held: Dict[Tuple[str, int, int], int] = {}  # bytes of sound, by function and leg
        self._recorder: Optional[Recorder] = None
        self._handle.vos_play.argtypes = [c.c_void_p, c.c_uint32, c.c_void_p, c.c_char_p, c.c_size_t]
        self._handle.vos_dial.argtypes = self._handle.vos_play.argtypes
        self._handle.vos_record.argtypes = [c.c_void_p, c.c_uint32]
        self._handle.vos_tap_lost.restype = c.c_uint64

    def play(self, request: Mapping[str, Any]) -> Json:
        """Send ``sound`` (base64 of G.711 bytes) to a leg, or end what is sent there; see ``VOS_PLAY``."""
        running, side = self._leg(request)
        sound = _sound(request.get("sound"))
        ssrc, sequence, timestamp = (int.from_bytes(os.urandom(4), "big") for _ in range(3))
        conf = _PlayConf(
            _number(request, "pt", 0, 127, 8),
            _number(request, "frame", 40, 960, 160),
            _number(request, "repeat", 1, 1000, 1),
            ssrc,
            sequence & 0xFFFF,
            timestamp,
        )
        self._do("vos_play", running, side, conf, sound)
        self._playing[running.id, side] = ssrc
        return {}

    def dial(self, request: Mapping[str, Any]) -> Json:
        """Put digits in the place of sound that a leg sends: as events ``[code, -dBm0, duration, pause]``, or as ``sound``."""
        running, side = self._leg(request)
        digits, sound = _digits(request.get("digits", [])), _sound(request.get("sound"))
        conf = _DigitsConf(_number(request, "pt", 0, 127, 101), len(digits))
        for at, digit in enumerate(digits):
            conf.digit[at] = _Digit(*digit)
        self._do("vos_dial", running, side, conf, sound)
        return {}

    def record(self, request: Mapping[str, Any]) -> Json:
        """Write all packets of a call to the new pcap file ``path``, ``most`` bytes of them; without a path, end that."""
        name, path = str(request.get("call")), request.get("path")
        streams = self._calls.running(name)
        if path is None:
            self._tap(streams, on=False)
            self.forget(name)
            return {}
        if not isinstance(path, str) or not Path(path).is_absolute():
            raise RequestError("record.path: must be an absolute path")
        if self._recorder is None:
            self._recorder = Recorder(_checked(self._handle.vos_tap_open()), self._handle.vos_tap_lost)
        most = _number(request, "most", 1024, 1 << 40, MAX_FILE)
        self._recorder.start(name, path, [running.id for running in streams], most=most)
        self._tap(streams, on=True)
        return {}

    def follow(self, name: str) -> None:
        """Record the streams too that a recorded call has got since."""
        if self._recorder is not None and self._recorder.has(name):
            streams = self._calls.running(name)
            self._recorder.add(name, [running.id for running in streams])
            self._tap(streams, on=True)

    def forget(self, name: str) -> None:
        """Close the recording of a call, once what is on its way has been written."""
        if self._recorder is not None:
            self._recorder.stop(name)

    def played(self, stream: int, side: int, ssrc: int) -> None:
        """Give the sound's memory back, unless other sound is played there by now."""
        running = self._calls.by_id(stream)
        if running is not None and self._playing.get((stream, side)) == ssrc:
            del self._playing[stream, side]
            self._do("vos_play", running, side, _PlayConf(), b"")

    def close(self) -> None:
        """End all recordings."""
        if self._recorder is not None:
            self._recorder.close()

    def _leg(self, request: Mapping[str, Any]) -> Tuple[Running, int]:
        number, side = request.get("stream", 0), request.get("side")
        for running in self._calls.running(str(request.get("call"))):
            if running.number == number and side in SIDES:
                return running, SIDES.index(side)
        raise RequestError(f"no stream {number!r} with side {side!r} in this call")

    def _do(self, function: str, running: Running, side: int, conf: c.Structure, sound: bytes) -> None:
        key = (function, running.id, side)
        self._make_room(key, len(sound))
        call = getattr(self._handle, function)
        _checked(call(running.stream.handle, side, c.byref(conf), sound, len(sound)))
        self._held[key] = len(sound)

    def _make_room(self, key: Tuple[str, int, int], size: int) -> None:
        """Forget what streams that have ended held. Raises ``RequestError`` when there is too much sound with this."""
        self._held = {
            known: held
            for known, held in self._held.items()
            if held and self._calls.by_id(known[1]) is not None
        }
        self._playing = {
            known: ssrc for known, ssrc in self._playing.items() if ("vos_play", *known) in self._held
        }
        if size and sum(self._held.values()) - self._held.get(key, 0) + size > MAX_SOUNDS:
            raise RequestError(f"no room for more sound: {MAX_SOUNDS >> 20} MiB are being played")

    def _tap(self, streams: List[Running], *, on: bool) -> None:
        for running in streams:
            _checked(self._handle.vos_record(running.stream.handle, int(on)))


def _checked(result: int) -> int:
    if result < 0:
        raise RequestError(os.strerror(-result))
    return result


def _number(request: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name}: must be {low} to {high}")
    return value


def _sound(value: Any) -> bytes:
    if value is None:
        return b""
    try:
        sound = base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("sound: not base64") from None
    if len(sound) > MAX_SOUND:
        raise RequestError(f"sound: longer than {MAX_SOUND} bytes")
    return sound


def _digits(value: Any) -> List[Tuple[int, ...]]:
    if not isinstance(value, list) or len(value) > MAX_DIGITS or not all(map(_is_digit, value)):
        raise RequestError(f"digits: must be at most {MAX_DIGITS} lists of code, volume, duration and pause")
    return [tuple(digit) for digit in value]


def _is_digit(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(_DIGIT_BOUNDS)
        and all(
            type(number) is int and low <= number <= high
            for number, (low, high) in zip(value, _DIGIT_BOUNDS)  # noqa: B905 (Python 3.9 has no strict=)
        )
    )
