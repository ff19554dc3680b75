"""Where the demo happens: hosts in namespaces, or directories and loopback addresses without privileges."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vosctl.demo.capture import Packet, Tap, Wire
from vosctl.errors import HostError
from vosctl.fleet import Fleet
from vosctl.relay import admin
from vosctl.relay.paths import CONFIG, KEYS, RelayPaths
from vosctl.secret import Secret

Made = TypeVar("Made")


class Observer(Protocol):
    """Sees every packet of the trunk; ``redirect`` lets it stand in for an end where it has to."""

    def redirect(self, text: str) -> str:
        """Return the SDP that one relay should get in place of what the other said."""
        ...

    def stop(self) -> list[Packet]:
        """Stop and return what was seen, in order."""
        ...


class Ground(Protocol):
    """What the demo needs of the machine, whichever way hosts are made."""

    @property
    def addresses(self) -> dict[str, str]:
        """Host names and their IPv4 addresses."""
        ...

    def inside(self, name: str, make: Callable[[], Made]) -> Made:
        """Call ``make`` on a host's network and return its result."""
        ...

    def root(self, name: str) -> Path:
        """Return where this machine sees the host's files."""
        ...

    def observe(self, name: str) -> Observer:
        """Begin to watch the trunk at one of its nodes."""
        ...


@dataclass(frozen=True, slots=True)
class FleetGround:
    """Hosts in namespaces; the trunk is watched on the cable of a node."""

    fleet: Fleet

    @property
    def addresses(self) -> dict[str, str]:
        """Host names and their IPv4 addresses."""
        return {host.name: host.address for host in self.fleet.hosts.values()}

    def inside(self, name: str, make: Callable[[], Made]) -> Made:
        """Call ``make`` on a host's network and return its result."""
        return self.fleet.inside(name, make)

    def root(self, name: str) -> Path:
        """Return where this machine sees the host's files."""
        return self.fleet.root(name)

    def observe(self, name: str) -> Observer:
        """Capture the cable of a node, from the controller's end."""
        return Wire(self.fleet.inside(None, Wire.tap), self.fleet.port(name))


@dataclass(frozen=True, slots=True)
class LocalGround:
    """Nodes are directories below ``directory``, hosts are loopback addresses."""

    directory: Path
    addresses: dict[str, str]

    def inside(self, name: str, make: Callable[[], Made]) -> Made:
        """Call ``make``: there is only one network."""
        if name not in self.addresses:
            raise HostError(name, "the demo has no such host")
        return make()

    def root(self, name: str) -> Path:
        """Return the directory that stands for the node."""
        return self.directory / name

    def observe(self, name: str) -> Observer:
        """Stand between the two nodes, since nobody may capture the loopback interface without privileges."""
        return Tap(self.addresses["wire"], name)


def relay_config(ground: Ground, name: str) -> dict[str, Any]:
    """Return what a node's relay was told to be; raises HostError where it was told nothing."""
    return _read(ground, name, CONFIG)


def relay_keys(ground: Ground, name: str) -> dict[str, Secret]:
    """Return the trunk keys of a node's relay by key id; raises HostError where it has none."""
    return {kid: Secret(value) for kid, value in _read(ground, name, KEYS)["keys"].items()}


def _read(ground: Ground, name: str, path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((ground.root(name) / path.relative_to("/")).read_bytes())
    except FileNotFoundError:
        raise HostError(name, f"{path} is missing", hint="was the site applied?") from None
    return data


def ask_relay(ground: Ground, name: str, command: str) -> dict[str, Any]:
    """Ask a node's relay through its admin socket; raises HostError where it refuses, RelayError where it is silent."""
    paths = RelayPaths().below(ground.root(name))
    reply = admin.ask(paths.control_socket, command)
    if not reply.get("ok"):
        raise HostError(name, f"its relay refused {command}: {reply.get('error', reply)}")
    return reply
