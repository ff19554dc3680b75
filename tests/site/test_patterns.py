from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vosctl.site.inventory.load import Inventory, load_inventory
from vosctl.site.inventory.patterns import limit, select, split
from vosctl.site.problems import Problems
from vosctl.site.tree import Mark

MARK = Mark("--limit", 1, 1)
HERE = Path(__file__).parent
# What ansible-core 2.19 answers for each pattern and --limit over patterns_hosts.yml.
CASES = json.loads((HERE / "patterns.json").read_text())


@cache
def inventory() -> Inventory:
    problems = Problems()
    loaded = load_inventory((HERE / "patterns_hosts.yml",), problems)
    assert not problems.found
    return loaded


def chosen(*patterns: str) -> tuple[list[str], Problems]:
    problems = Problems()
    return list(select(inventory(), patterns, MARK, problems)), problems


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['pattern']} -l {case['limit']}")
def test_patterns_choose_what_ansible_chooses(case: dict[str, str]) -> None:
    hosts, problems = chosen(case["pattern"])
    if case["limit"] is not None:
        hosts = list(limit(inventory(), hosts, case["limit"], MARK, problems))
    assert hosts == case["hosts"]
    assert not problems.errors


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a:b", ["a", "b"]),
        ("a, b ,,c", ["a", "b", "c"]),
        ("a:!b:&c", ["a", "!b", "&c"]),
        ("web[0:2]:db", ["web[0:2]", "db"]),
        ("2001:db8::1", ["2001:db8::1"]),
        ("[2001:db8::1]:22", ["[2001:db8::1]:22"]),
        ("edge-a:22", ["edge-a:22"]),
        ("~web.*,b", ["~web.*", "b"]),
        ("a b", ["a", "b"]),
        ("", []),
        (" , ", []),
    ],
)
def test_parts_of_a_pattern(text: str, parts: list[str]) -> None:
    assert split(text) == parts


def test_a_list_of_patterns_is_one_pattern() -> None:
    assert chosen("edge-b", "!core", "edges")[0] == chosen("edge-b,edges,!core")[0] == ["edge-b"]


def test_a_part_that_matches_nothing_is_a_warning_with_a_guess() -> None:
    hosts, problems = chosen("edge-a,egdes")
    assert hosts == ["edge-a"]
    (warning,) = problems.warnings
    assert (warning.rule, warning.path, warning.mark) == ("pattern-unmatched", "egdes", MARK)
    assert "edges" in warning.message


@pytest.mark.parametrize("part", ["~(", "~a{99999999999999999999}", "edges[7]", "!edges[7]", "&~["])
def test_what_makes_no_sense_is_an_error(part: str) -> None:
    _, problems = chosen(f"all,{part}")
    assert len(problems.errors) == 1
    assert problems.errors[0].hint


def test_a_limit_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("# of today\nedge-b\n\n  core-0*  \n")
    problems = Problems()
    hosts = limit(inventory(), inventory().hosts, f"@{tmp_path}/some,!core-01", MARK, problems)
    assert list(hosts) == ["edge-b", "core-02", "core-03", "core-04"]
    assert not problems.found


def test_a_limit_in_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    problems = Problems()
    limit(inventory(), inventory().hosts, f"@{tmp_path}/none", MARK, problems)
    assert [problem.rule for problem in problems.errors] == ["file-missing"]


atoms = st.sampled_from(
    ["all", "edges", "core", "special", "edge-?", "*", "~^e", "core[0:1]", "nope", "lone"]
)
hosts_of = st.lists(atoms, min_size=1, max_size=4)


@given(hosts_of, hosts_of)
def test_exclusion_intersection_and_union_are_those_of_sets(some: list[str], others: list[str]) -> None:
    first, second = set(chosen(*some)[0]), set(chosen(*others)[0])
    assert set(chosen(*some, *others)[0]) == first | second
    assert set(chosen(*some, *(f"!{part}" for part in others))[0]) == first - second
    single = set(chosen(others[0])[0])
    assert set(chosen(*some, f"&{others[0]}")[0]) == first & single


@example("~[[,")
@given(st.text(alphabet="ae-*?![]()~&:,.0 \\|", max_size=25) | st.text(max_size=15))
def test_no_pattern_raises_and_every_host_comes_once(text: str) -> None:
    hosts, problems = chosen(text)
    assert len(hosts) == len(set(hosts))
    assert set(hosts) <= set(inventory().hosts)
    assert all(problem.hint for problem in problems.found)
