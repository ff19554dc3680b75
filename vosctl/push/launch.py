"""Starts a command on a node as root: through sudo where the node asks for it, its prompt answered."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from msgspec import Struct

from vosctl.errors import HostError, UnreachableError
from vosctl.plan.printable import printable
from vosctl.push.channel import (
    Channel,
    ChannelEndedError,
    ChannelError,
    ChannelTimeoutError,
    PromptRefusedError,
)
from vosctl.push.transport import Transport
from vosctl.push.trouble import start_failure, wrong_password
from vosctl.secret import Secret

# What a login shell's own start-up files may print before the command speaks.
NOISE_LIMIT = 65536
SLOW = "give it longer with --timeout, or look at the node's load"
_NOISE = "look at what the login prints: ssh NODE true"


class Root(Struct, frozen=True):
    """How to become root on a node: ``become`` is whether sudo is asked; ``timeout`` in seconds."""

    become: bool
    password: Secret | None
    timeout: float


class Launch:
    """A command that was started on a node, until it speaks as it should."""

    def __init__(self, node: str, transport: Transport, command: Sequence[str], root: Root) -> None:
        self._node = node
        self._login = transport.login if root.become else None
        self._heard = ""
        # A prompt that nothing else prints: the password goes to whoever prints it, over standard input alone.
        prompt = f"[vosctl {secrets.token_hex(8)}] "
        how = ["sudo", "-n", "--"] if root.password is None else ["sudo", "-S", "-p", prompt, "--"]
        self.channel = Channel(
            transport.open([*how, *command] if root.become else command), timeout=root.timeout
        )
        if root.become and root.password is not None:
            self.channel.answer_prompt(prompt.encode(), root.password)

    def until(self, begin: Callable[[], None]) -> None:
        """Have ``begin`` hear the command begin; turn what the channel says instead into an error of this node."""
        node = self._node
        try:
            begin()
        except PromptRefusedError as error:
            raise wrong_password(node, str(self._login)) from error
        except ChannelTimeoutError as error:
            said = self.channel.stderr() if self._login is not None else ""
            tail = f" (it said: {said.splitlines()[-1]})" if said else ""
            raise UnreachableError(node, f"the agent did not start: {error}{tail}", hint=SLOW) from error
        except ChannelEndedError as error:
            raise start_failure(node, self.channel, heard=self._heard, login=self._login) from error
        except ChannelError as error:
            raise HostError(node, f"the agent did not start: {error}", hint=_NOISE) from error

    def line(self, wanted: Callable[[bytes], bool], other: Callable[[bytes], None] | None = None) -> bytes:
        """Return the first ``wanted`` line; what a login prints before it goes by, through ``other``."""
        noise = 0
        while not wanted(line := self.channel.receive_line()):
            if other is not None:
                other(line)
            self._heard = printable(line.decode(errors="replace"))
            noise += len(line) + 1
            if noise > NOISE_LIMIT:
                raise ChannelError("the login prints without end")
        self.channel.forget_prompt()
        return line


def prove(node: str, transport: Transport, root: Root) -> None:
    """Get as far over a connection as an agent's start does; raise HostError or UnreachableError as that would.

    ``python3 -V`` takes the way through login, shell, sudo and loader, and costs a node 1 ms where an agent that
    starts costs 30.
    """
    launch = Launch(node, transport, ("python3", "-I", "-S", "-V"), root)
    launch.until(lambda: _ended_well(launch))


def _ended_well(launch: Launch) -> None:
    launch.line(lambda line: line.startswith(b"Python 3"))
    launch.channel.close()
