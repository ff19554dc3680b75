from __future__ import annotations

from collections.abc import Mapping as MappingABC
from pathlib import Path
from typing import Any

import pytest
from tree_text import mapping, write

from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping, plain
from vosctl.site.variables.layers import defaults, layers, resolve
from vosctl.site.variables.merge import Merger

# edge-a is in zeta, alpha (depth 1), edges (depth 1) and dual (depth 2, below edges).
HOSTS = """\
all:
  children:
    zeta: {hosts: {edge-a: {}}}
    alpha: {hosts: {edge-a: {}}}
    edges:
      hosts: {edge-b: {}, edge-c: {}}
      children: {dual: {hosts: {edge-a: {}}}}
"""


def site(tmp_path: Path, files: dict[str, str]) -> Inventory:
    problems = Problems()
    inventory = load_inventory((write(tmp_path, {"hosts.yml": HOSTS} | files),), problems)
    assert not problems.found, [str(problem) for problem in problems.found]
    return inventory


def value(inventory: Inventory, node: str = "edge-a", play: str = "{}", extra: str = "{}") -> Any:
    return plain(resolve(inventory, node, (mapping(play),), (mapping(extra),))).get("v")


LAYERS = {
    "group_vars/all.yml": "all",
    "group_vars/alpha.yml": "alpha",
    "group_vars/edges.yml": "edges",
    "group_vars/zeta.yml": "zeta",
    "group_vars/dual.yml": "dual",
    "host_vars/edge-a.yml": "host",
}


@pytest.mark.parametrize("count", range(1, len(LAYERS) + 1))
def test_later_layers_win_parents_before_children_and_then_by_name(tmp_path: Path, count: int) -> None:
    used = list(LAYERS.items())[:count]
    inventory = site(tmp_path, {file: f"v: {word}" for file, word in used})
    assert value(inventory) == used[-1][1]


def test_play_beats_host_and_the_command_line_beats_all(tmp_path: Path) -> None:
    inventory = site(tmp_path, {"host_vars/edge-a.yml": "v: host"})
    assert value(inventory, play="v: play") == "play"
    assert value(inventory, play="v: play", extra="v: extra") == "extra"
    assert value(inventory, extra="v: null") is None


def test_files_beat_what_the_hosts_file_says_of_the_same_group_or_host(tmp_path: Path) -> None:
    hosts = "edges: {vars: {v: inline-group, w: 1}, hosts: {edge-a: {v: inline-host}, edge-b: {}}}"
    inventory = site(tmp_path, {"hosts.yml": hosts, "group_vars/all.yml": "v: all"})
    assert value(inventory, "edge-b") == "inline-group"
    assert value(inventory, "edge-a") == "inline-host"
    inventory = site(
        tmp_path,
        {"hosts.yml": hosts, "group_vars/edges.yml": "v: group-file", "host_vars/edge-a.yml": "v: host-file"},
    )
    assert value(inventory, "edge-b") == "group-file"
    assert value(inventory, "edge-a") == "host-file"


def test_the_files_of_a_folder_apply_in_order(tmp_path: Path) -> None:
    inventory = site(
        tmp_path,
        {"group_vars/all.yml": "v: {a: 1, b: 1, c: 1}", "group_vars/all/1.yml": "v: {b: 2, c: 2}",
         "group_vars/all/2.yml": "v: {c: 3}"},
    )  # fmt: skip
    assert value(inventory) == {"a": 1, "b": 2, "c": 3}


def test_defaults_are_below_everything_and_can_be_removed(tmp_path: Path) -> None:
    inventory = site(
        tmp_path, {"group_vars/all.yml": "media: {jitter_buffers: {wan: {max: 150}, satellite: null}}"}
    )
    buffers = plain(resolve(inventory, "edge-a", (), ()))["media"]["jitter_buffers"]
    assert buffers["lan"] == {"mode": "adaptive", "min": 10, "max": 80, "start": 20}
    assert buffers["wan"] == {"mode": "adaptive", "min": 20, "max": 150, "start": 60}
    assert "satellite" not in buffers


def test_packaged_defaults_have_nothing_to_prune() -> None:
    assert Merger().prune(defaults()) is defaults()


def test_packaged_defaults_are_the_guides_presets() -> None:
    buffers = plain(defaults())["media"]["jitter_buffers"]
    assert {name: (b["min"], b["max"], b["start"]) for name, b in buffers.items()} == {
        "lan": (10, 80, 20), "wan": (20, 200, 60), "internet": (40, 300, 100), "satellite": (60, 400, 150),
    }  # fmt: skip
    assert plain(defaults())["qos"] == {"signalling": "CS3", "media": "EF"}


def at(tree: Mapping, *path: str) -> Mapping:
    for step in path:
        below = tree.items[step]
        assert isinstance(below, Mapping)
        tree = below
    return tree


def test_nodes_share_every_subtree_that_no_layer_of_theirs_changes(tmp_path: Path) -> None:
    gateways = "\n".join(f"  gw{i}: {{tier: small, codecs: [PCMA]}}" for i in range(50))
    inventory = site(
        tmp_path,
        {"group_vars/all.yml": f"gateways:\n{gateways}\nfirewall: {{network_factor: 4}}",
         "host_vars/edge-c.yml": "gateways: {gw7: {tier: large}}"},
    )  # fmt: skip
    a, b, c = (resolve(inventory, node, (), ()) for node in ("edge-a", "edge-b", "edge-c"))
    assert a is b
    assert at(c, "gateways", "gw7") is not at(a, "gateways", "gw7")
    assert at(c, "gateways", "gw7").items["codecs"] is at(a, "gateways", "gw7").items["codecs"]
    same = [name for name in at(a, "gateways").items if at(a, "gateways", name) is at(c, "gateways", name)]
    assert len(same) == 49
    assert at(a, "firewall") is at(c, "firewall")
    assert resolve(inventory, "edge-c", (), ()) is c


def test_every_leaf_knows_the_file_that_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = site(
        tmp_path, {"group_vars/all.yml": "v: {a: 1, b: 2}", "host_vars/edge-a.yml": "\nv: {b: 3}"}
    )
    tree = at(resolve(inventory, "edge-a", (), ()), "v")
    marks: MappingABC[str, str] = {key: str(item.mark) for key, item in tree.items.items()}
    assert marks == {"a": "group_vars/all.yml:1:8", "b": "host_vars/edge-a.yml:2:8"}


def test_layers_have_names_in_order(tmp_path: Path) -> None:
    inventory = site(tmp_path, dict.fromkeys(LAYERS, "v: 1"))
    names = [source.layer for source in layers(inventory, "edge-a", (mapping("v: 1"),), (mapping("v: 1"),))]
    assert names == [
        "defaults", "group all", "group alpha", "group edges", "group zeta", "group dual", "host edge-a",
        "play", "--extra-vars",
    ]  # fmt: skip


def test_an_unknown_host_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        resolve(site(tmp_path, {}), "edge-z", (), ())
