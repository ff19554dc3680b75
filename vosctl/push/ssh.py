"""SSH with paramiko: one connection a node, strict host keys, a time limit on every step."""

from __future__ import annotations

import logging
import shlex
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import paramiko

from vosctl.errors import NoAnswerError, UnreachableError
from vosctl.push.ssh_algorithms import chosen
from vosctl.push.ssh_auth import login
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_dial import Proxy, dial
from vosctl.push.ssh_shared import SshShared
from vosctl.push.transport import SSH_MARK
from vosctl.site.model import Node

CHUNK = 65536
_POST_QUANTUM = "mlkem768x25519-sha256"

# Without a handler of its own logging prints paramiko's errors to the terminal; ours say it better.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Client(paramiko.Transport):
    """paramiko's Transport, which asks for host keys and certificates in an order of ours and leaves no socket."""

    wanted: tuple[str, ...] = ()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key algorithms: those wanted, then paramiko's own."""
        own = super().preferred_keys
        return (
            *(name for name in self.wanted if name in own),
            *(name for name in own if name not in self.wanted),
        )

    def close(self) -> None:
        """End the connection, its socket too where no handshake began: paramiko leaves that one open."""
        super().close()
        self.sock.close()


class SshTransport:
    """One logged-in SSH connection, through jump hosts where ssh_config says so; ``route`` ends earlier, if given."""

    def __init__(self, node: Node, shared: SshShared, route: tuple[Endpoint, ...] | None = None) -> None:
        self._node = node.name
        self._limit = shared.options.connect_timeout
        self._shared = shared
        self._hops: list[paramiko.Transport] = []
        self._proxy: Proxy | None = None
        route = shared.config.route(node.connection) if route is None else route
        self.login = route[-1].user if route else ""
        try:
            for endpoint in route:
                self._pass(endpoint)
        except BaseException:
            self.close()
            raise

    def open(self, command: Sequence[str]) -> SshPipe:
        """Start a command in the login shell, which first tells how the node sees this connection."""
        line = f'echo "{SSH_MARK.decode()}$SSH_CONNECTION"; exec {shlex.join(command)}'
        transport = self._hops[-1]
        # paramiko waits for the answer to exec without a limit of its own.
        alarm = threading.Timer(self._limit, transport.close)
        alarm.start()
        try:
            channel = transport.open_session(timeout=self._limit)
            channel.exec_command(line)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise UnreachableError(
                self._node,
                f"the command could not be started: {str(error) or 'the server hung up'}",
                hint=_SLOW,
            ) from error
        finally:
            alarm.cancel()
        return SshPipe(channel)

    def close(self) -> None:
        """End all connections at once, the innermost first."""
        for transport in reversed(self._hops):
            transport.close()
        if self._proxy is not None:
            self._proxy.close()

    def host_key(self, endpoint: Endpoint, kinds: Sequence[str]) -> paramiko.PKey | None:
        """Return the key of one of ``kinds`` that a server behind the route shows, None where it has none."""
        self._limit = endpoint.connect_timeout or self._shared.options.connect_timeout
        transport = _Client(self._stream(endpoint))
        transport.banner_timeout = transport.handshake_timeout = self._limit
        try:
            security = transport.get_security_options()
            security.key_types = tuple(name for name in kinds if name in security.key_types)
            self._handshake(transport, endpoint)
            return transport.get_remote_server_key()
        except NoAnswerError as error:
            if isinstance(error.__cause__, paramiko.ssh_exception.IncompatiblePeer):
                return None
            raise
        finally:
            transport.close()

    def _pass(self, endpoint: Endpoint) -> None:
        limit = self._limit = endpoint.connect_timeout or self._shared.options.connect_timeout
        transport = _Client(self._stream(endpoint))
        self._hops.append(transport)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = limit
        self._prefer(transport, endpoint)
        self._handshake(transport, endpoint)
        self._shared.known_hosts.check(self._node, endpoint, transport.get_remote_server_key())
        password = self._shared.options.password if endpoint.last else None
        login(self._node, transport, endpoint, self._shared.keys, password)
        watch(transport, endpoint)

    def _stream(self, endpoint: Endpoint) -> socket.socket | paramiko.Channel:
        if self._hops:
            return self._tunnel(endpoint)
        if endpoint.proxy_command:
            self._proxy = Proxy(self._node, endpoint.proxy_command)
            return self._proxy.sock
        return dial(self._node, endpoint, self._limit)

    def _prefer(self, transport: _Client, endpoint: Endpoint) -> None:
        security = transport.get_security_options()
        if not self._shared.options.post_quantum:
            security.kex = sorted(security.kex, key=lambda name: name == _POST_QUANTUM)
        transport.wanted = self._shared.known_hosts.preferred(endpoint)
        for keyword, wish in endpoint.algorithms:
            name = _SECURITY[keyword]
            setattr(security, name, chosen(getattr(security, name), wish, keyword=keyword))

    def _handshake(self, transport: paramiko.Transport, endpoint: Endpoint) -> None:
        start = monotonic()
        try:
            transport.start_client(timeout=self._limit)
            transport.get_remote_server_key()
        except (paramiko.SSHException, EOFError, OSError) as error:
            late = monotonic() - start >= self._limit * 0.9
            why = f"none within {self._limit:g} s" if late else str(error) or "the server hung up"
            raise NoAnswerError(
                self._node,
                f"no SSH handshake with {endpoint.address} port {endpoint.port}: {why}",
                hint="is it an SSH server, and is it overloaded (MaxStartups)? --connect-timeout waits longer",
            ) from error

    def _tunnel(self, endpoint: Endpoint) -> paramiko.Channel:
        where = (endpoint.address, endpoint.port)
        try:
            return self._hops[-1].open_channel("direct-tcpip", where, ("127.0.0.1", 0), timeout=self._limit)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NoAnswerError(
                self._node,
                f"the jump host does not get through to {where[0]} port {where[1]}: {error}",
                hint="try it from there: ssh -J JUMP HOST; sshd there needs AllowTcpForwarding",
            ) from error


def watch(transport: paramiko.Transport, endpoint: Endpoint) -> None:
    """Send keepalives; as many unanswered ones as the endpoint bears end the connection.

    paramiko itself sends them without looking at the answers, and leaves the giving up to TCP.
    """
    interval = max(1, round(endpoint.alive_interval)) if endpoint.alive_interval else 0
    transport.set_keepalive(interval)
    sock = transport.sock
    if interval and isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6):
        limit = round(endpoint.alive_interval * endpoint.alive_count * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)


_SECURITY = {
    "kexalgorithms": "kex",
    "ciphers": "ciphers",
    "macs": "digests",
    "hostkeyalgorithms": "key_types",
}


class SshPipe:
    """The three streams of a command over SSH."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def read(self, timeout: float) -> bytes | None:
        """Return bytes of standard output, b"" at its end, None when there were none in time."""
        self._channel.settimeout(timeout)
        try:
            return self._channel.recv(CHUNK)
        except TimeoutError:
            return None

    def write(self, data: bytes, timeout: float) -> int:
        """Send what the window takes in time."""
        self._channel.settimeout(timeout)
        try:
            sent = self._channel.send(data)
        except TimeoutError:
            return 0
        if sent == 0:
            raise BrokenPipeError
        return sent

    def read_stderr(self) -> bytes:
        """Return what has come on standard error."""
        return self._channel.recv_stderr(CHUNK) if self._channel.recv_stderr_ready() else b""

    def exit_status(self, timeout: float) -> int | None:
        """Return the exit status, None where the connection broke before it came."""
        self._channel.status_event.wait(timeout)
        status = self._channel.exit_status
        return status if status >= 0 else None

    def close(self) -> None:
        """End the command's input and let go of it."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
            self._channel.close()


_SLOW = "is the login shell one that runs commands? --connect-timeout waits longer"
