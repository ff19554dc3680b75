from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest
from tree_text import places, write

from vosctl.site.inventory.load import load_inventory
from vosctl.site.inventory.playbook import Playbook, load_playbook, rollouts, targets
from vosctl.site.problems import Problems
from vosctl.site.rollout import Check, Gate, Order, Rollout, Size, Where
from vosctl.site.tree import plain


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str) -> tuple[Playbook, Problems]:
    Path("site.yml").write_text(dedent(text))
    problems = Problems()
    return load_playbook(Path("site.yml"), problems), problems


def test_plays_with_their_places() -> None:
    playbook, problems = load(
        """\
        - name: Edges
          hosts: edges:!edge-c
          serial: "25%"
          vars: {media: {ptime: 30}, ansible_user: root}
        - hosts: [core, edge-c]
          serial: 2
        """
    )
    assert not problems.found
    first, second = playbook.plays
    assert (first.name, first.hosts) == ("Edges", ("edges:!edge-c",))
    assert first.rollout == Rollout("Edges", serial=(Size(25, percent=True),))
    assert (str(first.mark), str(first.hosts_mark)) == ("site.yml:1:3", "site.yml:2:10")
    assert first.source is not None
    assert plain(first.source.tree) == {"media": {"ptime": 30}, "user": "root"}
    assert (second.name, second.hosts, second.rollout.serial, second.source) == (
        "core, edge-c", ("core", "edge-c"), (Size(2),), None,
    )  # fmt: skip


def test_tasks_are_refused_with_what_to_do_instead() -> None:
    playbook, problems = load(
        """\
        - hosts: all
          gather_facts: false
          become: true
          tasks:
            - name: install
              apt: {name: x}
          roles: [common]
        """
    )
    assert places(problems) == [
        ("playbook-ansible", "site.yml:2:3"),
        ("playbook-ansible", "site.yml:3:3"),
        ("playbook-tasks", "site.yml:4:3"),
        ("playbook-tasks", "site.yml:7:3"),
    ]
    assert problems.errors[2].path == "[0].tasks"
    assert "what the variables say" in problems.errors[2].hint
    assert plain(playbook.document) == [{"hosts": "all"}]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "hosts: all", "[]", "- x", "- {hosts: }", "- {hosts: {a: 1}}", "- {name: x}", "3"]
)
def test_a_wrong_shape_is_left_to_the_schema(text: str) -> None:
    playbook, problems = load(text)
    assert not problems.found
    assert playbook.plays == ()
    assert playbook.document is not None


def test_a_missing_playbook_is_a_problem() -> None:
    problems = Problems()
    assert load_playbook(Path("none.yml"), problems).document is None
    assert places(problems) == [("file-missing", "none.yml:1:1")]


def test_targets_are_hosts_in_inventory_order_with_the_vars_of_their_plays(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yml": "edges: {hosts: {edge-a: {}, edge-b: {}}}\ncore: {hosts: {core-a: {}}}"})
    problems = Problems()
    inventory = load_inventory((tmp_path,), problems)
    playbook, found = load(
        """\
        - {hosts: "core-a,edge-b", vars: {v: 1}}
        - {hosts: edges, vars: {v: 2}}
        - {hosts: egdes}
        """
    )
    chosen = targets(playbook, inventory, found)
    assert {host: [plain(tree) for tree in trees] for host, trees in chosen.items()} == {
        "edge-a": [{"v": 2}],
        "edge-b": [{"v": 1}, {"v": 2}],
        "core-a": [{"v": 1}],
    }
    assert list(chosen) == ["edge-a", "edge-b", "core-a"]
    assert places(found) == [("pattern-unmatched", "site.yml:3:11")]


def test_rollout_in_ansibles_words() -> None:
    playbook, problems = load(
        """\
        - name: Edges
          hosts: all
          serial: [1, 25%, "100%"]
          max_fail_percentage: 0
          order: shuffle
          pause: 30
          health:
            - check: relay
            - {check: calls, lost: 5%}
            - {check: calls, lost: 0}
            - {check: command, run: "nc -z sip 5060", where: controller, within: 3}
            - {check: command, run: [systemctl, is-active, kamailio]}
            - check: trace
            - {check: errors, within: 30, loss: 0.5, refused: 2}
        """
    )
    assert not problems.found
    assert playbook.plays[0].rollout == Rollout(
        "Edges",
        serial=(Size(1), Size(25, percent=True), Size(100, percent=True)),
        max_fail_percentage=0,
        order=Order.SHUFFLE,
        pause=30.0,
        health=(
            Gate(Check.RELAY),
            Gate(Check.CALLS, lost=Size(5, percent=True)),
            Gate(Check.CALLS),
            Gate(Check.COMMAND, 3.0, run="nc -z sip 5060", where=Where.CONTROLLER),
            Gate(Check.COMMAND, run=("systemctl", "is-active", "kamailio")),
            Gate(Check.TRACE),
            Gate(Check.ERRORS, 30.0, loss=Decimal("0.5"), refused=Decimal(2)),
        ),
    )


@pytest.mark.parametrize(
    ("size", "total", "count"), [("2", 9, 2), ("25%", 10, 2), ("25%", 3, 1), ("100%", 7, 7)]
)
def test_a_batch_is_rounded_down_but_never_empty(size: str, total: int, count: int) -> None:
    assert Size.parse(size).of(total) == count


def test_a_host_is_reached_with_the_first_play_that_names_it(tmp_path: Path) -> None:
    Path("hosts.yml").write_text("all:\n  hosts: {a: , b: , c: }\n")
    playbook, found = load("- {hosts: b, serial: 1}\n- {hosts: all}\n")
    inventory = load_inventory((tmp_path / "hosts.yml",), found)
    assert [rollout.hosts for rollout in rollouts(playbook, inventory, ("a", "b", "c"))] == [
        ("b",),
        ("a", "c"),
    ]
