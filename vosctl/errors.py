"""Every error that vosctl raises on purpose, and where each one points.

    VosctlError                 exit 1   anything expected to go wrong
    ├── InputError              exit 1   the site is wrong: a list of problems, each with file:line:column
    ├── UsageError              exit 64  the command line is wrong
    ├── HostError               exit 2   a node refused or failed; nothing half applied
    │   ├── LockedError         exit 2   somebody else is at work on the node
    │   └── RolledBackError     exit 6   the node went back to what it ran before
    ├── UnreachableError        exit 4   no connection, or not the host key we know
    │   └── NoAnswerError       exit 4   nobody answered, or not in time: another try may help
    └── RelayError              exit 1   the relay daemon cannot start or go on

The relay and the node agent import this module on hosts with Python 3.9 and no packages.
"""

from __future__ import annotations


class VosctlError(Exception):
    """An expected error: a message for a person, what to do about it, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(VosctlError):
    """What the operator wrote is wrong; ``problems`` holds all of it (see ``vosctl.site.problems``)."""

    def __init__(self, problems: tuple[object, ...]) -> None:
        count = len(problems)
        super().__init__(f"{count} error{'' if count == 1 else 's'} in the site")
        self.problems = problems


class UsageError(VosctlError):
    """The command line does not make sense."""

    exit_code = 64


class HostError(VosctlError):
    """A node failed; ``node`` names it."""

    exit_code = 2

    def __init__(self, node: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{node}: {message}", hint=hint)
        self.node = node


class LockedError(HostError):
    """Another apply holds the node's lock."""


class RolledBackError(HostError):
    """The node was put back to the state before the apply."""

    exit_code = 6


class UnreachableError(HostError):
    """The node could not be talked to: network, host key or login."""

    exit_code = 4
    passing = False


class NoAnswerError(UnreachableError):
    """Nobody answered, or not in time: what another try may well find otherwise."""

    passing = True


class RelayError(VosctlError):
    """The relay daemon cannot start or go on."""
