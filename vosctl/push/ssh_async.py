"""SSH with asyncssh, an optional dependency: the same strictness as with paramiko, one event loop for all nodes."""

from __future__ import annotations

import asyncio
import logging
import shlex
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError
from functools import cache
from typing import Any, TypeVar

import asyncssh
from asyncssh.encryption import get_default_encryption_algs
from asyncssh.kex import get_default_kex_algs
from asyncssh.mac import get_default_mac_algs
from asyncssh.public_key import get_default_public_key_algs

from vosctl.errors import NoAnswerError, UnreachableError
from vosctl.push.known_hosts import not_accepted
from vosctl.push.ssh_algorithms import chosen
from vosctl.push.ssh_async_login import Client
from vosctl.push.ssh_async_pipe import AsyncPipe
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_dial import Proxy, dial
from vosctl.push.ssh_shared import SshShared
from vosctl.push.transport import SSH_MARK
from vosctl.site.model import Node

Result = TypeVar("Result")
_POST_QUANTUM = ("mlkem", "sntrup")

logging.getLogger("asyncssh").addHandler(logging.NullHandler())


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process's connections, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="asyncssh", daemon=True).start()
    return loop


class AsyncTransport:
    """One logged-in SSH connection, through jump hosts where ssh_config says so."""

    def __init__(self, node: Node, shared: SshShared) -> None:
        self._node = node.name
        self._shared = shared
        self._loop = _loop()
        self._hops: list[asyncssh.SSHClientConnection] = []
        self._proxy: Proxy | None = None
        route = shared.config.route(node.connection)
        self.login = route[-1].user
        self._limit = shared.options.connect_timeout
        try:
            for endpoint in route:
                self._pass(endpoint)
        except BaseException:
            self.close()
            raise

    def open(self, command: Sequence[str]) -> AsyncPipe:
        """Start a command in the login shell, which first tells how the node sees this connection."""
        line = f'echo "{SSH_MARK.decode()}$SSH_CONNECTION"; exec {shlex.join(command)}'
        pipe = AsyncPipe(self._loop)
        opening = self._hops[-1].create_session(lambda: pipe, line, encoding=None)
        try:
            self._wait(asyncio.wait_for(opening, self._limit))
        except (asyncssh.Error, OSError, TimeoutError, asyncio.TimeoutError, CancelledError) as error:
            raise UnreachableError(
                self._node,
                f"the command could not be started: {str(error) or 'the server hung up'}",
                hint="is the login shell one that runs commands? --connect-timeout waits longer",
            ) from error
        return pipe

    def close(self) -> None:
        """End all connections at once, the innermost first."""
        for connection in reversed(self._hops):
            self._loop.call_soon_threadsafe(connection.abort)
        if self._proxy is not None:
            self._proxy.close()

    def _pass(self, endpoint: Endpoint) -> None:
        self._limit = endpoint.connect_timeout or self._shared.options.connect_timeout
        how = self._options(endpoint)
        if self._hops:
            how["tunnel"] = self._hops[-1]
        elif endpoint.proxy_command:
            self._proxy = Proxy(self._node, endpoint.proxy_command)
            how["sock"] = self._proxy.sock
        else:
            how["sock"] = dial(self._node, endpoint, self._limit)
        client = Client(self._node, endpoint, self._shared)
        try:
            connecting = asyncssh.connect(
                endpoint.address,
                endpoint.port,
                client_factory=lambda: client,
                **how,
            )
            self._hops.append(self._wait(asyncio.wait_for(connecting, self._limit * 2)))
        except (asyncssh.Error, OSError, TimeoutError, asyncio.TimeoutError, CancelledError) as error:
            if "sock" in how:  # asyncssh leaves it to whoever opened it where it never came to a connection
                self._loop.call_soon_threadsafe(self._loop.call_later, 1.0, how["sock"].close)
            raise client.refusal or self._failure(endpoint, client, error) from error
        finally:
            client.finish()

    def _options(self, endpoint: Endpoint) -> dict[str, Any]:
        wishes = dict(endpoint.algorithms)
        kex = [name for name in _names(get_default_kex_algs()) if not name.startswith("gss-")]
        if not self._shared.options.post_quantum:
            kex.sort(key=lambda name: name.startswith(_POST_QUANTUM))
        keys = _names(get_default_public_key_algs())
        known = self._shared.known_hosts.preferred(endpoint)
        keys = [*known, *(name for name in keys if name not in known)]
        algorithms = {
            "kex_algs": ("kexalgorithms", kex),
            "encryption_algs": ("ciphers", _names(get_default_encryption_algs())),
            "mac_algs": ("macs", _names(get_default_mac_algs())),
            "server_host_key_algs": ("hostkeyalgorithms", keys),
        }
        return {
            "config": [],
            "username": endpoint.user,
            "known_hosts": ([], [], []),
            "host_key_alias": endpoint.principal,
            "client_keys": None,
            "agent_path": None,
            "gss_host": None,
            "preferred_auth": ("publickey", "password"),
            "connect_timeout": self._limit,
            "login_timeout": self._limit,
            "keepalive_interval": endpoint.alive_interval,
            "keepalive_count_max": endpoint.alive_count,
            **{
                name: chosen(offered, wishes[keyword], keyword=keyword) if keyword in wishes else offered
                for name, (keyword, offered) in algorithms.items()
            },
        }

    def _failure(self, endpoint: Endpoint, client: Client, error: BaseException) -> UnreachableError:
        where = f"{endpoint.address} port {endpoint.port}"
        if isinstance(error, asyncssh.PermissionDenied) or client.authenticating:
            return client.denied(error)
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return not_accepted(self._node, endpoint, str(error))
        if isinstance(error, asyncssh.ChannelOpenError):
            return NoAnswerError(
                self._node,
                f"the jump host does not get through to {where}: {error}",
                hint="try it from there: ssh -J JUMP HOST; sshd there needs AllowTcpForwarding",
            )
        late = isinstance(error, TimeoutError | asyncio.TimeoutError) or "timeout" in str(error).lower()
        why = f"none within {self._limit:g} s" if late else str(error) or "the server hung up"
        return NoAnswerError(
            self._node,
            f"no SSH handshake with {where}: {why}",
            hint="is it an SSH server, and is it overloaded (MaxStartups)? --connect-timeout waits longer",
        )

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _names(algorithms: Sequence[bytes]) -> list[str]:
    return [name.decode() for name in algorithms]
