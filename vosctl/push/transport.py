"""What a way to a node must offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vosctl.push.channel import Pipe

# The login shell prints this and its SSH_CONNECTION before it starts a command.
SSH_MARK = b"vosctl-ssh "


class Transport(Protocol):
    """A connection to one node; one command at a time."""

    def open(self, command: Sequence[str]) -> Pipe:
        """Start a command; raise UnreachableError where the connection is gone."""

    def close(self) -> None:
        """End the connection at once."""
