"""Opens the transport that a node's inventory asks for; files are parsed once for all nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module

from vosctl.errors import UnreachableError, UsageError
from vosctl.push.local import LocalTransport
from vosctl.push.options import PushOptions
from vosctl.push.ssh_config import SshConfig
from vosctl.push.ssh_held import held
from vosctl.push.transport import Transport, own_login
from vosctl.site.model import Node

PAUSE = 1.0

Login = Callable[[Node], Transport]


class Connector:
    """Opens connections for one run."""

    def __init__(self, options: PushOptions) -> None:
        self._options = options
        self._config = SshConfig(options)
        self._home = options.home or own_login()[1]
        self._lock = threading.Lock()
        self._login: Login | None = None
        if (
            options.transport == "asyncssh"
        ):  # an optional dependency: said to be missing before any node is asked
            self._login = _library(options, self._config)

    def open(
        self, node: Node, *, new: bool = False, sleep: Callable[[float], None] = lambda _: None
    ) -> Transport:
        """Return a connection, a ``new`` one or one that an earlier run left; raise UnreachableError where there is none.

        Nothing was asked of the node yet, so that trying again is safe: ``options.tries`` times, or as
        often as ConnectionAttempts says, with ``sleep`` between. What another try cannot better (a host
        key, a login) is told at once.
        """
        if "local" in (self._options.connection, node.connection.kind):
            return LocalTransport(node.name)
        tries = max(self._options.tries, self._config.route(node.connection)[-1].attempts)
        for number in range(1, tries + 1):
            try:
                return self._new(node) if new else self._held(node) or self._new(node)
            except UnreachableError as error:
                if number == tries or not error.passing:
                    raise _tried(error, number) from error
            sleep(PAUSE * number)
        raise AssertionError("at least one try")

    def _held(self, node: Node) -> Transport | None:
        route = self._config.route(node.connection)
        return held(node.name, route, self._options, self._home, lambda: self._new(node))

    def _new(self, node: Node) -> Transport:
        with self._lock:  # whichever thread comes first imports the library
            if self._login is None:
                self._login = _library(self._options, self._config)
        return self._login(node)


def _library(options: PushOptions, config: SshConfig) -> Login:
    """Return what logs in; ``auto`` is paramiko: up to 200 nodes at least neither library is faster (docs/scale.md).

    Over held connections none is needed, and their import takes longer than the rest of such a run.
    """
    import_module("vosctl.push.ssh_library")  # before all that imports paramiko
    shared = import_module("vosctl.push.ssh_shared").SshShared.start(options, config)
    transport = (
        _asyncssh() if options.transport == "asyncssh" else import_module("vosctl.push.ssh").SshTransport
    )
    return lambda node: transport(node, shared)


def _asyncssh() -> Callable[..., Transport]:
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
