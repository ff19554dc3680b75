"""Nodes for the agent's tests: a directory, and fleet hosts with either backend of iptables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from agent_client import Target, wait_until

from vosctl.fleet import Fleet, HostSpec

HOSTS = {"nft": "10.231.0.2", "legacy": "10.231.0.3"}
CLEAN = """
for b in nft legacy; do for f in iptables ip6tables; do
  $f-$b -P INPUT ACCEPT; $f-$b -F; $f-$b -X
done; done
ipset destroy
rm -rf /var/lib/vosctl /run/vosctl /run/vosctl-relay /etc/vosctl /etc/voice /opt/vosctl
echo 0 > /proc/sys/net/ipv4/ip_forward
echo 4096 > /proc/sys/net/core/somaxconn
# Asked once, legacy would have tables for ever, if empty ones.
true
"""


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


class Machine(Target):
    """A host of the fleet as a node."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(argv=partial(fleet.host_argv, name))
        self.fleet = fleet
        self.name = name

    def run(self, script: str, *, check: bool = True) -> str:
        return self.fleet.exec(self.name, ["sh", "-c", script], check=check).stdout

    def path(self, path: str) -> Path:
        return Path(f"{self.fleet.root(self.name)}{path}")

    def clean(self) -> None:
        self.run(CLEAN)

    def rules(self, family: int = 4) -> str:
        """The kernel's rules without comments, counters and empty tables."""
        text = self.run(f"{'iptables' if family == 4 else 'ip6tables'}-save")
        lines = [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#")]
        tables = "\n".join(lines).split("COMMIT")
        return "".join(table.strip() + "\n" for table in tables if "\n-A" in table or " -\n" in table)

    def sets(self) -> list[str]:
        """The kernel's sets and members, sorted, without sizes that the kernel chooses."""
        return sorted(line.split(" hashsize")[0] for line in self.run("ipset save").splitlines())


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
