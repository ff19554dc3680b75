"""One run of the node agent: brings it to the node if need be, asks it, and turns its errors into ours."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Mapping
from typing import Any

from vosctl.errors import HostError, LockedError, UnreachableError
from vosctl.plan.observed import SshPath
from vosctl.plan.printable import printable
from vosctl.push.agent import bundle
from vosctl.push.channel import (
    Channel,
    ChannelEndedError,
    ChannelError,
    ChannelTimeoutError,
    PromptRefusedError,
)
from vosctl.push.transport import SSH_MARK, Transport
from vosctl.push.trouble import start_failure, wrong_password
from vosctl.secret import Secret

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
        self,
        node: str,
        transport: Transport,
        *,
        become: bool,
        timeout: float,
        keep_agent: bool = True,
        become_password: Secret | None = None,
        glance: str = "",
    ) -> None:
        self._node = node
        command = ["python3", "-I", "-S", "-c", bundle.LOADER, bundle.digest()]
        if not keep_agent:
            command.append("once")
        elif glance:
            command.append(glance)
        # A prompt that nothing else prints: the password goes to whoever prints it, over standard input alone.
        prompt = f"[vosctl {secrets.token_hex(8)}] "
        how = ["sudo", "-n", "--"] if become_password is None else ["sudo", "-S", "-p", prompt, "--"]
        pipe = transport.open([*how, *command] if become else command)
        self._channel = Channel(pipe, timeout=timeout)
        if become and become_password is not None:
            self._channel.answer_prompt(prompt.encode(), become_password)
        self.ssh: SshPath | None = None
        self.login = transport.login
        self.seen: Frame | None = None
        self._heard = ""
        self._become = become
        self._begin()

    def _begin(self) -> None:
        node, become = self._node, self._become
        try:
            self._start()
        except PromptRefusedError as error:
            raise wrong_password(node, self.login) from error
        except ChannelTimeoutError as error:
            said = self._channel.stderr() if become else ""
            tail = f" (it said: {said.splitlines()[-1]})" if said else ""
            raise UnreachableError(node, f"the agent did not start: {error}{tail}", hint=_SLOW) from error
        except ChannelEndedError as error:
            login = self.login if become else None
            raise start_failure(node, self._channel, heard=self._heard, login=login) from error
        except ChannelError as error:
            raise HostError(node, f"the agent did not start: {error}", hint=_NOISE) from error

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
        noise = 0
        while (line := self._channel.receive_line()) not in (b"HAVE", b"NEED", b"SAME"):
            if line.startswith(SSH_MARK):
                self.ssh = SshPath.parse(line[len(SSH_MARK) :].decode("ascii", "replace"))
            else:
                self._heard = printable(line.decode(errors="replace"))
            noise += len(line) + 1
            if noise > NOISE_LIMIT:
                raise ChannelError("the login prints without end")
        self._channel.forget_prompt()
        return line

    def ask(self, request: Mapping[str, Any], *, expect: str, progress: Progress | None = None) -> Frame:
        """Send a request and return the answer whose ``op`` is ``expect``, or ``failed``.

        Raises LockedError or HostError for the agent's error frames, LostError where the connection
        or the agent went away, UnreachableError where no answer came in time.
        """
        channel = self._channel
        channel.restart_clock()
        if self.seen is not None:
            self.seen = None
            channel.send(b"\n")
            self._begin()
        try:
            channel.send_frame(request)
            while True:
                answer = channel.receive_frame()
                if answer["op"] == "progress" and progress is not None:
                    step = str(answer.get("step"))
                    channel.restart_clock(INSTALL_PATIENCE if step == "packages" else 0.0)
                    progress(step, _count(answer, "done"), _count(answer, "of"))
                else:
                    return self._checked(answer, expect)
        except ChannelTimeoutError as error:
            raise LostError(self._node, f"{request['op']}: {error}", hint=_SLOW) from error
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


_NOISE = "look at what the login prints: ssh NODE true"
_SLOW = "give it longer with --timeout, or look at the node's load"


def _count(frame: Frame, name: str) -> int:
    value = frame.get(name)
    return value if isinstance(value, int) else 0
