"""The example site with directories as its two nodes, their relays running on loopback addresses of this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rotation_case import Ground

from vosctl.demo import local
from vosctl.demo.stage import copy_site

NODES = {"edge-a": 2, "edge-b": 3}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A site that is applied to both its nodes."""
    folder = tmp_path_factory.mktemp("rotation")
    site = copy_site(folder / "site")
    third = os.getpid() % 200 + 20
    local.settle(site, folder / "nodes", {name: f"127.{third}.0.{last}" for name, last in NODES.items()})
    with local.ending_all():
        yield Ground(site, folder / "nodes")


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
