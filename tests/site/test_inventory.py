from __future__ import annotations

from pathlib import Path

import pytest
from tree_text import places, write

from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.inventory.patterns import select
from vosctl.site.problems import Problems
from vosctl.site.tree import Mark, plain

HOSTS = """\
all:
  hosts:
    lone:
  children:
    edges:
      hosts:
        edge-[a:b]: {ansible_host: 192.0.2.1, become: true}
      vars: {ansible_user: root}
      children:
        dual: {hosts: {edge-c: {}, edge-a: {}}}
    core: {hosts: {"core-[01:02]:2222": {}}, children: {dual: {}}}
"""


def load(*paths: Path) -> tuple[Inventory, Problems]:
    problems = Problems()
    return load_inventory(paths, problems), problems


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_groups_hosts_and_their_order(tmp_path: Path) -> None:
    inventory, problems = load(write(tmp_path, {"hosts.yml": HOSTS}))
    assert not problems.found
    assert list(inventory.hosts) == ["lone", "edge-a", "edge-b", "core-01", "core-02", "edge-c"]
    assert {name: group.hosts for name, group in inventory.groups.items()} == {
        "all": ("lone", "edge-a", "edge-b", "core-01", "core-02", "edge-c"),
        "ungrouped": ("lone",),
        "edges": ("edge-a", "edge-b", "edge-c"),
        "dual": ("edge-c", "edge-a"),
        "core": ("core-01", "core-02", "edge-c", "edge-a"),
    }
    assert inventory.hosts["edge-a"].groups == ("all", "core", "edges", "dual")
    assert inventory.hosts["lone"].groups == ("all", "ungrouped")
    assert inventory.hosts["edge-b"].mark == Mark("hosts.yml", 7, 9)


def test_connection_variables_lose_their_prefix_and_keep_their_place(tmp_path: Path) -> None:
    inventory, _ = load(write(tmp_path, {"hosts.yml": HOSTS}))
    (inline,) = inventory.hosts["edge-a"].sources
    assert plain(inline.tree) == {"host": "192.0.2.1", "become": True}
    assert inline.tree.key_marks["host"] == Mark("hosts.yml", 7, 22)
    assert plain(inventory.groups["edges"].sources[0].tree) == {"user": "root"}
    assert plain(inventory.hosts["core-01"].sources[0].tree) == {"port": 2222}


@pytest.mark.parametrize(
    ("alias", "name"),
    [("ansible_ssh_private_key_file", "private_key"), ("ansible_private_key", "private_key"),
     ("ansible_connection", "connection"), ("ansible_port", "port"), ("ansible_root", "root")],
)  # fmt: skip
def test_every_alias(tmp_path: Path, alias: str, name: str) -> None:
    inventory, problems = load(write(tmp_path, {"hosts.yml": f"all: {{hosts: {{a: {{{alias}: x}}}}}}"}))
    assert not problems.found
    assert plain(inventory.hosts["a"].sources[0].tree) == {name: "x"}


def test_two_spellings_of_one_variable_are_an_error(tmp_path: Path) -> None:
    _, problems = load(write(tmp_path, {"hosts.yml": "all: {hosts: {a: {host: x, ansible_host: y}}}"}))
    assert places(problems) == [("duplicate-alias", "hosts.yml:1:28")]
    assert "hosts.yml:1:19" in problems.errors[0].hint


def test_vars_come_from_files_and_folders_beside_the_hosts(tmp_path: Path) -> None:
    inventory, problems = load(
        write(
            tmp_path,
            {
                "hosts.yml": HOSTS,
                "group_vars/all.yaml": "a: 1",
                "group_vars/all/20.yml": "b: 1",
                "group_vars/all/10.yml": "c: 1",
                "group_vars/all/more/deep.yml": "d: 1",
                "group_vars/all/.hidden.yml": "x: 1",
                "group_vars/edges.json": '{"e": 1}',
                "host_vars/edge-a.yml": "f: 1",
                "host_vars/edge-a.yml~": "x: 1",
                "host_vars/lone/x.yml": "# nothing yet",
            },
        )
    )
    assert not problems.found
    assert [list(source.tree.items) for source in inventory.groups["all"].sources] == [
        ["a"],
        ["c"],
        ["b"],
        ["d"],
    ]
    assert [source.inline for source in inventory.groups["edges"].sources] == [True, False]
    assert [plain(source.tree) for source in inventory.hosts["edge-a"].sources][1:] == [{"f": 1}]
    assert inventory.hosts["lone"].sources == ()
    assert inventory.groups["edges"].sources[1].tree.mark == Mark("group_vars/edges.json", 1, 1)
    assert len(inventory.sources) == 10


def test_a_host_or_group_that_does_not_exist_is_warned_of_and_still_read(tmp_path: Path) -> None:
    _, problems = load(
        write(
            tmp_path,
            {
                "hosts.yml": HOSTS,
                "group_vars/edgse.yml": "a: no",
                "host_vars/edge-x/a.yml": "b: 1",
                "host_vars/README": "about",
            },
        )
    )
    assert places(problems) == [
        ("yaml-boolean", "group_vars/edgse.yml:1:4"),
        ("unknown-group", "group_vars/edgse.yml:1:1"),
        ("ignored-file", "host_vars/README:1:1"),
        ("unknown-host", "host_vars/edge-x:1:1"),
    ]
    assert "edges" in problems.warnings[0].message


def test_a_key_without_a_value_is_an_error_but_null_is_not(tmp_path: Path) -> None:
    _, problems = load(
        write(
            tmp_path, {"hosts.yml": HOSTS, "group_vars/all.yml": "gateways:\nmedia: null\nqos: {media: }\n"}
        )
    )
    assert places(problems) == [
        ("empty-value", "group_vars/all.yml:1:1"),
        ("empty-value", "group_vars/all.yml:3:7"),
    ]
    assert problems.errors[1].path == "qos.media"


def test_variables_that_are_a_list_are_an_error(tmp_path: Path) -> None:
    _, problems = load(write(tmp_path, {"hosts.yml": HOSTS, "group_vars/all.yml": "- a\n"}))
    assert places(problems) == [("vars-shape", "group_vars/all.yml:1:1")]


def test_cycles_are_errors_that_show_the_circle(tmp_path: Path) -> None:
    text = """\
    a: {children: {b: {children: {c: {children: {a: {}}}}}}, hosts: {x: {}}}
    d: {children: {d: {}, all: {}}}
    """
    inventory, problems = load(write(tmp_path, {"hosts.yml": text}))
    assert places(problems) == [
        ("inventory-cycle", "hosts.yml:1:46"),
        ("inventory-cycle", "hosts.yml:2:16"),
        ("inventory-cycle", "hosts.yml:2:23"),
    ]
    assert problems.errors[0].message == "the group a is inside itself: a > b > c > a"
    assert inventory.groups["c"].hosts == ()
    assert inventory.groups["a"].depth == 1


def test_wrong_names_are_errors_and_the_rest_is_kept(tmp_path: Path) -> None:
    text = """\
    all:
      hosts: {"edge-[9:1]": {}, "edge b": {}, good: {}}
      children: {"1st": {hosts: {lost: {}}}, ok: {hosts: {fine: {}}}}
    """
    inventory, problems = load(write(tmp_path, {"hosts.yml": text}))
    assert [problem.rule for problem in problems.errors] == ["inventory-host-name"] * 2 + [
        "inventory-group-name"
    ]
    assert list(inventory.hosts) == ["good", "fine"]


def test_a_name_for_host_and_group_is_warned_of(tmp_path: Path) -> None:
    _, problems = load(write(tmp_path, {"hosts.yml": "edge: {hosts: {edge: {}}}"}))
    assert [problem.rule for problem in problems.warnings] == ["inventory-name-clash"]


@pytest.mark.parametrize(
    "text", ["", "[]", "x", "all: [a]", "all: {hosts: [a]}", "all: {children: x, vars: [1]}", "3"]
)
def test_a_wrong_shape_is_left_to_the_schema(tmp_path: Path, text: str) -> None:
    inventory, problems = load(write(tmp_path, {"hosts.yml": text}))
    assert not problems.errors
    assert len(inventory.documents) == 1
    assert list(inventory.hosts) == []


def test_several_inventories_are_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "one/hosts.yml": "edges: {hosts: {a: {x: 1}}, vars: {v: 1}}",
            "one/group_vars/edges.yml": "w: 1",
            "two.yml": "edges: {hosts: {b: {}, a: {x: 2}}, vars: {v: 2}}",
            "group_vars/edges.yml": "w: 2",
        },
    )
    inventory, problems = load(Path("one"), Path("two.yml"))
    assert not problems.found
    assert list(inventory.hosts) == ["a", "b"]
    assert [plain(source.tree) for source in inventory.groups["edges"].sources] == [
        {"v": 1}, {"v": 2}, {"w": 1}, {"w": 2},
    ]  # fmt: skip
    assert [plain(source.tree) for source in inventory.hosts["a"].sources] == [{"x": 1}, {"x": 2}]
    assert len(inventory.documents) == 2


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    files = {"b.yml": "g: {hosts: {b: {}}}", "a.yaml": "g: {hosts: {a: {}}}", "hosts": "g: {hosts: {h: {}}}"}
    others = {"README.md": "# no", ".x.yml": "no: [", "c.yml~": "[", "notes": "no: [", "old.bak": "["}
    inventory, problems = load(write(tmp_path, files | others))
    assert not problems.found
    assert list(inventory.hosts) == ["a", "b", "h"]


def test_what_is_no_inventory_says_so(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"empty/x.txt": "", "hosts.ini": "[edges]\nedge-a host=1\n", "inv.py": "#!/bin/sh\necho {}\n"},
    )
    rules = {}
    for name in ("empty", "missing", "hosts.ini", "inv.py"):
        _, problems = load(Path(name))
        rules[name] = [(problem.rule, problem.hint) for problem in problems.errors]
    assert rules["empty"] == [("inventory-empty", "write empty/hosts.yml, or name the inventory with -i")]
    assert rules["missing"][0][0] == "file-missing"
    assert rules["hosts.ini"][0][0] == "inventory-ini"
    assert "ansible-inventory -i hosts.ini" in rules["hosts.ini"][0][1]
    assert rules["inv.py"] == [("inventory-program", "chmod +x inv.py")]


def test_hosts_that_cannot_be_read_do_not_make_other_names_unknown(tmp_path: Path) -> None:
    files = {
        "hosts.yml": "all: {hosts: {edge-a: }",
        "group_vars/edges.yml": "a: 1",
        "host_vars/edge-a.yml": "a: no",
    }
    inventory, problems = load(write(tmp_path, files))
    assert not inventory.complete
    assert [problem.rule for problem in problems.errors] == ["yaml-boolean", "yaml-syntax"]
    assert not problems.warnings
    select(inventory, ("edge-a",), Mark("--limit", 1, 1), problems)
    assert not problems.warnings


def test_yaml_that_may_be_executed_is_yaml_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yml": "g: {hosts: {a: {}}}", "hosts": "g: {hosts: {b: {}}}"})
    (tmp_path / "hosts.yml").chmod(0o755)
    (tmp_path / "hosts").chmod(0o755)
    inventory, problems = load(tmp_path)
    assert not problems.found
    assert sorted(inventory.hosts) == ["a", "b"]
