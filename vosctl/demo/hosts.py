"""The hosts of the example site, as namespaces of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vosctl.demo.ground import FleetGround
from vosctl.demo.stage import Stage, copy_site, program, undisturbed
from vosctl.fleet import Fleet, HostSpec

EDGES = ("edge-a", "edge-b")
HOSTS = (
    HostSpec("edge-a", "10.231.0.2"),
    HostSpec("edge-b", "10.231.0.3"),
    HostSpec("customer", "10.231.0.10", sshd=False),
    HostSpec("vendor", "10.231.0.11", sshd=False),
    HostSpec("attacker", "10.231.0.12", sshd=False),
)
ADDRESSES = {host.name: host.address for host in HOSTS}


def numbered(count: int) -> tuple[HostSpec, ...]:
    """Return ``count`` nodes (at most 200) in place of the example's two: node-001 and on."""
    return tuple(HostSpec(f"node-{number:03d}", f"10.231.1.{number}") for number in range(1, count + 1))


def settings(fleet: Fleet) -> tuple[str, ...]:
    """Return VOSCTL_ variables that lead vosctl to the fleet's nodes with the fleet's keys."""
    return (
        "VOSCTL_USER=root",
        f"VOSCTL_PRIVATE_KEY={fleet.private_key}",
        f"VOSCTL_KNOWN_HOSTS={fleet.known_hosts}",
        f"VOSCTL_SSH_CONFIG={fleet.ssh_config}",
    )


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """Bring the example's hosts up with a copy of its site; they go down at the end, whatever happens."""
    site = copy_site(directory / "site")
    fleet = Fleet.up(HOSTS, directory / "fleet")
    try:
        vosctl = (*fleet.controller_argv(("env", *settings(fleet), program())),)
        yield Stage(FleetGround(fleet), site, vosctl)
    finally:
        with undisturbed():
            fleet.down()
