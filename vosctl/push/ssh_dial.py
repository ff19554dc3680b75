"""The byte stream below SSH: a TCP connection, or what a ProxyCommand gives."""

from __future__ import annotations

import socket
import subprocess

from vosctl.errors import UnreachableError
from vosctl.push.ssh_config import Endpoint

DEAD_AFTER_MS = 30000
END_PATIENCE = 1.0


def dial(node: str, endpoint: Endpoint, limit: float) -> socket.socket:
    """Return a connected socket; raise UnreachableError that says why there is none."""
    where = f"{endpoint.address} port {endpoint.port}"
    try:
        sock = socket.create_connection((endpoint.address, endpoint.port), timeout=limit)
    except socket.gaierror as error:
        raise UnreachableError(
            node,
            f"the name {endpoint.address} cannot be resolved: {error.strerror}",
            hint="give the node a `host` address in the inventory",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            node,
            f"no answer from {where} within {limit:g} s",
            hint="is the node up, and does a firewall drop this? --connect-timeout waits longer",
        ) from error
    except ConnectionRefusedError as error:
        raise UnreachableError(
            node, f"{where} refuses connections", hint="is sshd running there, and on this port?"
        ) from error
    except OSError as error:
        raise UnreachableError(
            node, f"no way to {where}: {error.strerror or error}", hint="check address and route"
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A node that drops dead: unanswered keepalives end the connection after this long.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)
    return sock


class Proxy:
    """A running ProxyCommand; ``sock`` is our end of the socket pair that is its input and output."""

    def __init__(self, node: str, command: str) -> None:
        self.sock, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self.sock.close()
            raise UnreachableError(
                node, f"ProxyCommand cannot be started: {error}", hint="see ssh_config"
            ) from error
        finally:
            theirs.close()

    def close(self) -> None:
        """Close our end and see the command off."""
        self.sock.close()
        try:
            self._process.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
