"""A command running on a node, as frames: bytes in both directions, time limits, stderr drained."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from vosctl.plan.printable import printable
from vosctl.secret import Secret

MAX_FRAME = 64 * 1024 * 1024
MAX_PLAIN = 256 * 1024 * 1024
STDERR_KEPT = 8192
LINE_LIMIT = 65536
POLL = 0.25
TURNS = 64
PROMPT_POLL = 0.02
LEVEL = 1  # zlib's: what a frame saves on the way by a higher one takes longer to pack than to send


class Pipe(Protocol):
    """The three streams of a running command; what a transport gives."""

    def read(self, timeout: float) -> bytes | None:
        """Return bytes of its standard output, b"" at its end, None when there were none in time."""

    def write(self, data: bytes, timeout: float) -> int:
        """Send what can be sent in time and return how much; raise OSError when the other end is gone."""

    def read_stderr(self) -> bytes:
        """Return what has come on standard error, without waiting."""

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status, None when the connection broke first or it does not come in time."""

    def close(self) -> None:
        """End the command's input and let go of it."""


class ChannelError(Exception):
    """The command's streams broke off or carried nonsense; the message says which."""


class ChannelEndedError(ChannelError):
    """The command ended, or the connection did."""


class ChannelTimeoutError(ChannelError):
    """The command did not answer in time."""


class PromptRefusedError(ChannelError):
    """What was answered to a prompt is asked for again."""


class Channel:
    """Frames over a Pipe: 4 bytes of length, big-endian, then zlib-packed JSON."""

    def __init__(self, pipe: Pipe, *, timeout: float) -> None:
        self._pipe = pipe
        self._timeout = timeout
        self._deadline = monotonic() + timeout
        self._input = bytearray()
        self._stderr = bytearray()
        self._ended = False
        self._prompt: tuple[bytes, Secret] | None = None
        self._answered = False

    def answer_prompt(self, prompt: bytes, answer: Secret) -> None:
        """Answer ``prompt`` on standard error with a line of input, once, until ``forget_prompt``.

        Asked a second time, the next receive raises PromptRefusedError.
        """
        self._prompt = (prompt, answer)

    def forget_prompt(self) -> None:
        """Take standard error for what it is from now on."""
        self._prompt = None

    def restart_clock(self, within: float | None = None, *, at_least: float = 0.0) -> None:
        """Give what comes next the whole time limit, ``at_least`` so many seconds, or just ``within`` some."""
        self._deadline = monotonic() + (max(self._timeout, at_least) if within is None else within)

    def send_frame(self, frame: Mapping[str, Any]) -> None:
        """Send one frame; a command that has gone already is found out by the next receive."""
        self.send(encode(frame))

    def receive_frame(self) -> dict[str, Any]:
        """Return the next frame; raise ChannelError at the end of the stream or for nonsense."""
        (length,) = struct.unpack(">I", self.receive(4))
        if length > MAX_FRAME:
            raise ChannelError(f"a frame of {length} bytes is too long (at most {MAX_FRAME})")
        return decode(self.receive(length))

    def send(self, data: bytes) -> None:
        """Send bytes while taking in what the command says, so that neither side waits for the other."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._pipe.write(bytes(view[:LINE_LIMIT]), self._wait()) :]
            except OSError:
                return
            self._take_stderr()
            if self._ended:
                return
            if view:
                self._take_waiting()
            if len(self._input) > MAX_FRAME:
                raise ChannelError("more output than a frame may hold, and the input not read")

    def receive(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""
        while len(self._input) < count:
            self._more()
        taken = bytes(self._input[:count])
        del self._input[:count]
        return taken

    def receive_line(self) -> bytes:
        """Return the next line without its end."""
        while (end := self._input.find(b"\n")) < 0:
            if len(self._input) > LINE_LIMIT:
                raise ChannelError("no line end in 64 KiB of output")
            self._more()
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        return line.rstrip(b"\r")

    def stderr(self) -> str:
        """Return the end of what came on standard error, fit for a terminal."""
        self._take_stderr()
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        return "\n".join(map(printable, lines))

    def exit_status(self) -> int | None:
        """Return the exit status of a command that ended, None where it was cut off."""
        return self._pipe.exit_status(2.0)

    def close(self) -> None:
        """End the command's input and let go of it."""
        self._pipe.close()

    def _more(self) -> None:
        if self._ended:
            raise ChannelEndedError("the stream ended")
        self._take(self._wait())
        self._take_stderr()

    def _take_waiting(self) -> None:
        """Take what has come, but let a command that prints without end not keep us from sending."""
        before = -1
        for _ in range(TURNS):
            if self._ended or len(self._input) == before:
                return
            before = len(self._input)
            self._take(0.0)

    def _take(self, timeout: float) -> None:
        try:
            data = self._pipe.read(timeout)
        except OSError as error:
            raise ChannelEndedError(str(error)) from error
        if data == b"":
            self._ended = True
        elif data:
            self._input += data

    def _take_stderr(self) -> None:
        while data := self._pipe.read_stderr():
            self._stderr += data
            self._heed_prompt()
            del self._stderr[:-STDERR_KEPT]

    def _heed_prompt(self) -> None:
        if self._prompt is None or self._prompt[0] not in self._stderr:
            return
        prompt, answer = self._prompt
        del self._stderr[: self._stderr.index(prompt) + len(prompt)]
        if self._answered:
            self._prompt = None
            raise PromptRefusedError("the answer was not taken")
        self._answered = True
        self._write_all(answer.reveal().encode() + b"\n")

    def _write_all(self, data: bytes) -> None:
        with suppress(OSError):
            while data:
                data = data[self._pipe.write(data, self._wait()) :]

    def _wait(self) -> float:
        left = self._deadline - monotonic()
        if left <= 0:
            raise ChannelTimeoutError(f"no answer within {self._timeout:g} s")
        return min(left, POLL if self._prompt is None else PROMPT_POLL)


def encode(frame: Mapping[str, Any]) -> bytes:
    """Return a frame as bytes; raise ChannelError when it is too long."""
    body = zlib.compress(json.dumps(frame, separators=(",", ":")).encode(), LEVEL)
    if len(body) > MAX_FRAME:
        raise ChannelError(f"a frame of {len(body)} bytes is too long (at most {MAX_FRAME})")
    return struct.pack(">I", len(body)) + body


def decode(body: bytes) -> dict[str, Any]:
    """Return the frame in ``body``; raise ChannelError for what is not one, or unpacks to too much."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, MAX_PLAIN)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ChannelError("a frame is cut short or unpacks to too much")
        frame = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ChannelError(f"not a frame: {error}") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("op"), str):
        raise ChannelError("a frame without an op")
    return frame
