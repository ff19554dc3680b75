"""What a way to a node must offer."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vosctl.push.channel import Pipe

# The login shell prints this and its SSH_CONNECTION before it starts a command.
SSH_MARK = b"vosctl-ssh "


class Transport(Protocol):
    """A connection to one node; one command at a time. ``login`` is the user there."""

    @property
    def login(self) -> str:
        """The user that commands run as."""

    def open(self, command: Sequence[str]) -> Pipe:
        """Start a command; raise UnreachableError where the connection is gone."""

    def close(self) -> None:
        """End the connection at once."""


def own_login() -> tuple[str, Path]:
    """Return the name and home of the user who runs this, from the user database like OpenSSH does."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return str(os.getuid()), Path("/nonexistent")
    return user.pw_name, Path(user.pw_dir)
