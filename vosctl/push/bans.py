"""Bans by people on a node; the connection that vosctl itself came by is never banned."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from vosctl.push.host import Host
from vosctl.push.operations import failure, request, without_op
from vosctl.push.result import HostResult, Status
from vosctl.site.model import Address, Network


class Ban(Struct, frozen=True):
    """Bans a network for ``seconds`` (None: until a person takes it back)."""

    network: Network
    seconds: int | None
    reason: str

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` with the ban in ``report``; raise HostError for the controller's own address."""
        session = host.connect()
        if session.ssh is not None:
            self._spare(host, session.ssh.client, "from where vosctl reaches this node")
            self._spare(host, session.ssh.server, "the node itself")
        with host.timed("ban"):
            answer = session.ask(
                request(host, "ban", address=str(self.network), seconds=self.seconds, reason=self.reason),
                expect="ban",
            )
        if answer["op"] == "failed":
            raise failure(host, answer)
        return host.result(Status.CHANGED, report=without_op(answer))

    def _spare(self, host: Host, address: Address, what: str) -> None:
        if address in self.network:
            raise host.failure(
                f"refused: {self.network} holds {address}, {what}",
                hint="name a network that does not hold it",
            )


class Unban(Struct, frozen=True):
    """Takes the ban of a network back."""

    network: Network

    def __call__(self, host: Host) -> HostResult:
        """Return ``changed`` where there was a ban, else ``ok``; ``inside`` names wider bans in ``report``."""
        session = host.connect()
        with host.timed("unban"):
            answer: dict[str, Any] = session.ask(
                request(host, "unban", address=str(self.network)), expect="unban"
            )
        if answer["op"] == "failed":
            raise failure(host, answer)
        return host.result(Status.CHANGED if answer.get("found") else Status.OK, report=without_op(answer))
