"""Opens the transport that a node's inventory asks for; files are parsed once for all nodes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from vosctl.errors import UnreachableError, UsageError
from vosctl.push import ssh_library  # noqa: F401  before all that imports paramiko
from vosctl.push.local import LocalTransport
from vosctl.push.options import PushOptions
from vosctl.push.ssh import SshTransport
from vosctl.push.ssh_shared import SshShared
from vosctl.push.transport import Transport
from vosctl.site.model import Node

PAUSE = 1.0


class Connector:
    """Opens connections for one run."""

    def __init__(self, options: PushOptions) -> None:
        self._options = options
        self._shared = SshShared.start(options)
        self._kind = _library(options.transport)

    def open(self, node: Node, *, sleep: Callable[[float], None] = lambda _: None) -> Transport:
        """Return a new connection; raise UnreachableError where there is none.

        Nothing was asked of the node yet, so that trying again is safe: ``options.tries`` times, or as
        often as ConnectionAttempts says, with ``sleep`` between. What another try cannot better (a host
        key, a login) is told at once.
        """
        if "local" in (self._options.connection, node.connection.kind):
            return LocalTransport(node.name)
        tries = max(self._options.tries, self._shared.config.route(node.connection)[-1].attempts)
        for number in range(1, tries + 1):
            try:
                return self._kind(node, self._shared)
            except UnreachableError as error:
                if number == tries or not error.passing:
                    raise _tried(error, number) from error
            sleep(PAUSE * number)
        raise AssertionError("at least one try")


def _library(name: str) -> Callable[[Node, SshShared], Transport]:
    """Return the transport of a name; ``auto`` is paramiko: up to 200 nodes at least neither is faster (docs/scale.md)."""
    if name != "asyncssh":
        return SshTransport
    try:
        return import_module("vosctl.push.ssh_async").AsyncTransport  # type: ignore[no-any-return]
    except ImportError as error:
        raise UsageError(
            f"asyncssh cannot be used here: {error}",
            hint="pip install 'vosctl[asyncssh]', or --transport paramiko",
        ) from error


def _tried(error: UnreachableError, tries: int) -> UnreachableError:
    if tries == 1:
        return error
    message = error.message.removeprefix(f"{error.node}: ")
    return type(error)(error.node, f"{message} ({tries} tries)", hint=error.hint)
