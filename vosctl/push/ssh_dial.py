"""The byte stream below SSH: a TCP connection, or what a ProxyCommand gives."""

from __future__ import annotations

import socket
import subprocess
from time import monotonic

from vosctl.errors import NoAnswerError, UnreachableError
from vosctl.push.ssh_config import Endpoint

DEAD_AFTER_MS = 30000
END_PATIENCE = 1.0


def dial(node: str, endpoint: Endpoint, limit: float) -> socket.socket:
    """Return a connected socket; raise UnreachableError that says why there is none."""
    where = f"{endpoint.address} port {endpoint.port}"
    try:
        sock = _connected(endpoint, limit)
    except socket.gaierror as error:
        raise UnreachableError(
            node,
            f"the name {endpoint.address} cannot be resolved: {error.strerror}",
            hint="give the node a `host` address in the inventory",
        ) from error
    except TimeoutError as error:
        raise no_answer(node, where, limit) from error
    except ConnectionRefusedError as error:
        raise NoAnswerError(
            node, f"{where} refuses connections", hint="is sshd running there, and on this port?"
        ) from error
    except OSError as error:
        raise NoAnswerError(
            node, f"no way to {where}: {error.strerror or error}", hint="check address and route"
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A node that drops dead: unanswered keepalives end the connection after this long.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)
    return sock


def no_answer(node: str, where: str, limit: float) -> NoAnswerError:
    """Return the error for a connection that nobody answered to within ``limit`` seconds."""
    return NoAnswerError(
        node,
        f"no answer from {where} within {limit:g} s",
        hint="is the node up, and does a firewall drop this? --connect-timeout waits longer",
    )


_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


def _connected(endpoint: Endpoint, limit: float) -> socket.socket:
    """Return a TCP connection to the first address that takes it, of the family that AddressFamily allows."""
    family = _FAMILIES.get(endpoint.family, socket.AF_UNSPEC)
    found = socket.getaddrinfo(endpoint.address, endpoint.port, family, socket.SOCK_STREAM)
    last: OSError = OSError("no address")
    until = monotonic() + limit
    for kind, _, _, _, address in found:
        sock = socket.socket(kind, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.1, until - monotonic()))
            if endpoint.bind:
                sock.bind((endpoint.bind, 0))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


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
