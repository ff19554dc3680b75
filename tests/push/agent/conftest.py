"""Nodes for the agent's tests: a directory, and fleet hosts with either backend of iptables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_client import Machine, Target, wait_until

from vosctl.fleet import Fleet, HostSpec

HOSTS = {"nft": "10.231.0.2", "legacy": "10.231.0.3"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Target]:
    """A directory that stands for a node. Its guards end before the test does."""
    root = tmp_path / "node"
    root.mkdir()
    target = Target(root)
    yield target
    target.path("/var/lib/vosctl/pending.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    specs = [HostSpec(name, address, sshd=False, iptables=name) for name, address in HOSTS.items()]
    with Fleet.up(specs, tmp_path_factory.mktemp("agent-fleet")) as fleet:
        yield fleet


def machine(fleet: Fleet, name: str) -> Iterator[Machine]:
    found = Machine(fleet, name)
    found.clean()
    yield found
    found.path("/var/lib/vosctl/pending.json").unlink(missing_ok=True)
    assert wait_until(lambda: "python3" not in found.run("ps -e -o comm="), 10), found.run("ps -ef")


@pytest.fixture(params=list(HOSTS))
def host(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A host, once with each backend."""
    yield from machine(fleet, request.param)


@pytest.fixture
def nft(fleet: Fleet) -> Iterator[Machine]:
    yield from machine(fleet, "nft")


@pytest.fixture
def legacy(fleet: Fleet) -> Iterator[Machine]:
    yield from machine(fleet, "legacy")
