"""Fetches the host keys of nodes, to be compared and then written into known_hosts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import paramiko
from msgspec import Struct

from vosctl.errors import VosctlError
from vosctl.push.options import PushOptions
from vosctl.push.ssh import SshTransport
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_shared import SshShared
from vosctl.site.model import Node

KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


class HostKey(Struct, frozen=True):
    """A key that a host showed. ``state`` is known, new, changed or revoked; ``where`` is what known_hosts has."""

    endpoint: Endpoint
    key: paramiko.PKey
    state: str
    where: tuple[str, ...]

    @property
    def name(self) -> str:
        """The host as known_hosts writes it."""
        return self.endpoint.known_as

    @property
    def kind(self) -> str:
        """The key's type, as in known_hosts."""
        return str(self.key.get_name())

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ssh-keygen -l shows it."""
        return str(self.key.fingerprint)


class Scan(Struct, frozen=True):
    """What one node showed: keys, or why there are none. ``jump`` names a jump host that is not known itself."""

    node: str
    keys: tuple[HostKey, ...] = ()
    error: VosctlError | None = None
    jump: str | None = None


class KeyScanner:
    """Asks nodes for their host keys; nobody logs in anywhere but on jump hosts that are known."""

    def __init__(self, options: PushOptions) -> None:
        self._options = options
        self._shared = SshShared.start(options)

    def scan(self, nodes: Sequence[Node]) -> list[Scan]:
        """Return what each node showed, in their order; errors are in the results, never raised."""
        with ThreadPoolExecutor(max_workers=max(1, min(self._options.forks, len(nodes)))) as pool:
            return list(pool.map(self._one, nodes))

    def accept(self, key: HostKey) -> str:
        """Write a key into its host's first known_hosts file and return the file:line."""
        return self._shared.known_hosts.remember(key.endpoint, key.key)

    def _one(self, node: Node) -> Scan:
        if node.connection.kind == "local":
            return Scan(node.name)
        try:
            return self._reach(node)
        except VosctlError as error:
            return Scan(node.name, error=error)

    def _reach(self, node: Node) -> Scan:
        route = self._shared.config.route(node.connection)
        for at, endpoint in enumerate(route):
            keys = self._keys(node, route[:at], endpoint)
            last = at == len(route) - 1
            if last or not any(key.state == "known" for key in keys):
                return Scan(node.name, keys, jump=None if last else endpoint.known_as)
        return Scan(node.name)

    def _keys(self, node: Node, through: tuple[Endpoint, ...], endpoint: Endpoint) -> tuple[HostKey, ...]:
        found = []
        transport = SshTransport(node, self._shared, through)
        try:
            for kinds in KINDS:
                key = transport.host_key(endpoint, kinds)
                if key is not None:
                    found.append(HostKey(endpoint, key, *self._shared.known_hosts.state(endpoint, key)))
        finally:
            transport.close()
        return tuple(found)
