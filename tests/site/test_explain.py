from __future__ import annotations

from pathlib import Path

import pytest
from tree_text import mapping, write

from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.problems import Problems
from vosctl.site.secrets import is_secret_path
from vosctl.site.tree import Scalar, plain
from vosctl.site.variables.explain import Layer, explain, lookup, mask


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        {
            "hosts.yml": "edges: {hosts: {edge-a: {ansible_host: 192.0.2.1}}, vars: {media: {ptime: 30}}}",
            "group_vars/all.yml": "gateways: {acme: {codecs: [PCMA, G729]}}\nkeys: {ab: {value: hunter2secret}}",
            "group_vars/edges.yml": "media: {jitter: lan}",
            "host_vars/edge-a.yml": "media: {jitter: internet}\ngateways: null",
        },
    )
    problems = Problems()
    loaded = load_inventory((tmp_path,), problems)
    assert not problems.found
    return loaded


def told(layers: list[Layer]) -> list[tuple[str, object, str]]:
    return [(layer.name, plain(layer.value), str(layer.mark)) for layer in layers if layer.value is not None]


def test_each_layer_says_its_value_and_where(inventory: Inventory) -> None:
    found = explain(inventory, "edge-a", (mapping("media: {jitter: wan}"),), (), "media.jitter")
    assert told(found)[1:] == [
        ("group edges", "lan", "group_vars/edges.yml:1:17"),
        ("host edge-a", "internet", "host_vars/edge-a.yml:1:17"),
        ("play", "wan", "t.yml:1:17"),
    ]
    assert told(found)[0][:2] == ("defaults", "wan")
    assert [layer.name for layer in found if layer.value is None] == [
        "group all",
        "group edges",
        "host edge-a",
    ]


def test_what_hides_a_value_is_told(inventory: Inventory) -> None:
    found = explain(inventory, "edge-a", (), (), "gateways.acme.codecs[1]")
    assert told(found) == [
        ("group all", "G729", "group_vars/all.yml:1:34"),
        ("host edge-a", None, "host_vars/edge-a.yml:2:11"),
    ]
    assert [layer.hidden for layer in found if layer.value is not None] == [False, True]


def test_an_alias_explains_the_variable_it_stands_for(inventory: Inventory) -> None:
    assert told(explain(inventory, "edge-a", (), (), "ansible_host")) == [
        ("host edge-a", "192.0.2.1", "hosts.yml:1:40")
    ]


@pytest.mark.parametrize("path", ["keys", "keys.ab", "keys.ab.value", ""])
def test_secrets_are_fingerprints(inventory: Inventory, path: str) -> None:
    found = explain(inventory, "edge-a", (), (), path)
    assert "<secret " in str(told(found))
    assert "hunter2secret" not in str(told(found))


def test_equal_secrets_have_equal_fingerprints() -> None:
    one, two, other = (
        plain(mask(mapping(f"keys: {{k: {{value: {value}}}}}"), "")) for value in ("abc", "abc", "abd")
    )
    assert one == two != other


def test_lookup_goes_as_far_as_it_can() -> None:
    tree = mapping('files: {/etc/a.conf: {mode: "0644"}, /etc/a: {mode: "0600"}}\nlist: [{a: 1}]')
    assert lookup(tree, "files./etc/a.conf.mode")[0].mark.column == 29
    value, rest = lookup(tree, "list[0].a")
    assert isinstance(value, Scalar)
    assert (value.value, rest) == (1, "")
    assert lookup(tree, "list[1].a")[1] == "[1].a"
    assert lookup(tree, "list[x]")[1] == "[x]"
    assert lookup(tree, "files./etc/b")[1] == "/etc/b"
    assert lookup(tree, "") == (tree, "")


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("keys.ab-2026.q4.value", True),
        ("gateways.acme.password", True),
        ("files./etc/x.conf.content", True),
        ("ansible_become_password", True),
        ("[0].vars.keys.ab.value", True),
        ("keys.ab", False),
        ("gateways.acme.username", False),
        ("trunks.ab.key", False),
        ("files./etc/x.conf.mode", False),
    ],
)
def test_where_secrets_stand(path: str, secret: bool) -> None:
    assert is_secret_path(path) is secret
