"""The example site with directories as its two nodes, their relays running on loopback addresses of this module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rotation_case import Ground

from vosctl.demo.stage import copy_site
from vosctl.fleet import kernel
from vosctl.fleet.state import descendants

NODES = {"edge-a": 2, "edge-b": 3}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A site that is applied to both its nodes."""
    folder = tmp_path_factory.mktemp("rotation")
    site = copy_site(folder / "site")
    third = os.getpid() % 200 + 20
    for name, last in NODES.items():
        root = folder / "nodes" / name
        root.mkdir(parents=True)
        address = f"127.{third}.0.{last}"
        variables = {
            "connection": "local",
            "host": address,
            "root": str(root),
            "relay": {"addresses": [address], "ng": f"{address}:2223"},
        }
        where = site / "inventory" / "host_vars" / name
        where.mkdir(parents=True, exist_ok=True)
        (where / "zz-here.yml").write_text(json.dumps(variables) + "\n", encoding="utf-8")
    kernel.adopt_orphans()
    try:
        yield Ground(site, folder / "nodes")
    finally:
        while processes := descendants(os.getpid()):
            for process in processes:
                process.kill()


@pytest.fixture
def site(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """The same, with both nodes at the example's state and no rotation under way, from its own folder."""
    monkeypatch.chdir(ground.site)
    ground.reset()
    return ground


@pytest.fixture
def example() -> str:
    """The example's file of trunks and keys."""
    return (Path(__file__).parents[2] / "inventory/group_vars/all/trunks.yml").read_text()
