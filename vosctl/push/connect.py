"""Opens the transport that a node's inventory asks for; files are parsed once for all nodes."""

from __future__ import annotations

from vosctl.push.local import LocalTransport
from vosctl.push.options import PushOptions
from vosctl.push.ssh import SshShared, SshTransport
from vosctl.push.transport import Transport
from vosctl.site.model import Node


class Connector:
    """Opens connections for one run."""

    def __init__(self, options: PushOptions) -> None:
        self._shared = SshShared.start(options)

    def open(self, node: Node) -> Transport:
        """Return a new connection; raise UnreachableError where there is none."""
        if node.connection.kind == "local":
            return LocalTransport(node.name)
        return SshTransport(node, self._shared)
