"""One run of the node agent: brings it to the node if need be, asks it, and turns its errors into ours."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from vosctl.errors import HostError, LockedError, UnreachableError
from vosctl.plan.observed import SshPath
from vosctl.plan.printable import printable
from vosctl.push.agent import bundle
from vosctl.push.channel import ChannelError, ChannelTimeoutError
from vosctl.push.launch import SLOW, Launch, Root
from vosctl.push.transport import SSH_MARK, Transport

Frame = dict[str, Any]
Progress = Callable[[str, int, int], None]

# What a login shell's own start-up files may print before the agent speaks.
NOISE_LIMIT = 65536
# Fetching package lists and packages through a slow mirror is no hang.
INSTALL_PATIENCE = 1800.0


class LostError(UnreachableError):
    """The connection or the agent went away in the middle of a request: what it did is not known."""


class Session:
    """The agent on the node, ready for requests. ``ssh`` is the connection as the node sees it.

    ``keep_agent``: the node may keep the agent in /run for the next time. ``glance``: the key of an answer that
    the node may have kept; ``seen`` is that answer, None where it holds no longer. Then the agent starts with the
    first ``ask``.
    """

    def __init__(
        self, node: str, transport: Transport, root: Root, *, keep_agent: bool = True, glance: str = ""
    ) -> None:
        self._node = node
        command = ["python3", "-I", "-S", "-c", bundle.LOADER, bundle.digest()]
        if not keep_agent:
            command.append("once")
        elif glance:
            command.append(glance)
        self._launch = Launch(node, transport, command, root)
        self._channel = self._launch.channel
        self.ssh: SshPath | None = None
        self.login = transport.login
        self.seen: Frame | None = None
        self._launch.until(self._start)

    def _start(self) -> None:
        said = self._first_word()
        if said == b"SAME":
            self.seen = self._channel.receive_frame()
            return
        if said == b"NEED":
            archive = bundle.archive()
            code = bundle.compiled()
            head, more = struct.pack(">I", len(archive) | 1 << 31), struct.pack(">I", len(code))
            self._channel.send(head + archive + more + code)
        hello = self._channel.receive_frame()
        if hello["op"] == "error":
            raise self._refusal(hello)
        if hello["op"] != "hello":
            raise ChannelError(f"hello expected, {hello['op']!r} came")

    def _first_word(self) -> bytes:
        """Read up to the loader's word and return it: it has the agent, needs it, or has an answer already."""
        return self._launch.line(lambda line: line in {b"HAVE", b"NEED", b"SAME"}, self._noticed)

    def _noticed(self, line: bytes) -> None:
        if line.startswith(SSH_MARK):
            self.ssh = SshPath.parse(line[len(SSH_MARK) :].decode("ascii", "replace"))

    def ask(
        self,
        request: Mapping[str, Any],
        *,
        expect: str,
        progress: Progress | None = None,
        within: float | None = None,
    ) -> Frame:
        """Send a request and return the answer whose ``op`` is ``expect``, or ``failed``.

        ``within``: seconds to wait for it, the run's time limit if not given.

        Raises LockedError or HostError for the agent's error frames, LostError where the connection
        or the agent went away, UnreachableError where no answer came in time.
        """
        channel = self._channel
        channel.restart_clock(within)
        if self.seen is not None:
            self.seen = None
            channel.send(b"\n")
            self._launch.until(self._start)
        try:
            channel.send_frame(request)
            while True:
                answer = channel.receive_frame()
                if answer["op"] == "progress" and progress is not None:
                    step = str(answer.get("step"))
                    channel.restart_clock(at_least=INSTALL_PATIENCE if step == "packages" else 0.0)
                    progress(step, _count(answer, "done"), _count(answer, "of"))
                else:
                    return self._checked(answer, expect)
        except ChannelTimeoutError as error:
            raise LostError(self._node, f"{request['op']}: {error}", hint=SLOW) from error
        except ChannelError as error:
            raise self._lost(str(request["op"]), error) from error

    def _checked(self, answer: Frame, expect: str) -> Frame:
        if answer["op"] == "error":
            raise self._refusal(answer)
        if answer["op"] not in (expect, "failed"):
            raise ChannelError(f"{expect} expected, {answer['op']!r} came")
        return answer

    def _refusal(self, frame: Frame) -> HostError:
        kind = LockedError if frame.get("kind") == "locked" else HostError
        return kind(
            self._node, printable(str(frame.get("error"))), hint=printable(str(frame.get("hint") or ""))
        )

    def _lost(self, request: str, error: ChannelError) -> LostError:
        said = self._channel.stderr()
        tail = f" (it said: {said.splitlines()[-1]})" if said else ""
        return LostError(self._node, f"the agent went away during {request}: {error}{tail}")

    def close(self) -> None:
        """Say goodbye; the agent ends by itself."""
        self._channel.close()


def _count(frame: Frame, name: str) -> int:
    value = frame.get(name)
    return value if isinstance(value, int) else 0
