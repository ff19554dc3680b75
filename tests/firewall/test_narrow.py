"""Leaving out members that make no difference never changes what a comparison says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from vosctl.compile.site import compile_site
from vosctl.firewall.analysis.compare import compare
from vosctl.firewall.analysis.narrow import narrow
from vosctl.site.read import SiteOptions, read_site

EXAMPLE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def node():
    site, problems = read_site(SiteOptions(playbook=EXAMPLE / "playbooks/site.yml"))
    problems.raise_errors()
    return compile_site(site, release=None)["edge-a"]


def changed(node, seed: int):
    """Return the node's sets with members of some added and taken away."""
    chance = random.Random(seed)
    sets = []
    for each in node.sets:
        members = [member for member in each.members if chance.random() > 0.3]
        if (
            each.family == 4
            and each.type in ("hash:net", "hash:ip")
            and not each.dynamic
            and chance.random() < 0.7
        ):
            members += [f"198.18.{chance.randrange(4)}.{chance.randrange(4) * 64}/{chance.choice((26, 32, 24))}".replace("/32", "")
                        for _ in range(chance.randrange(1, 3))]  # fmt: skip
        sets.append(replace(each, members=tuple(sorted(set(members)))))
    return tuple(sets)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_is_said_with_fewer_members(node, seed):
    (rules,) = [each for each in node.rulesets if each.family == 4]
    old = tuple(each for each in node.sets if each.family == 4)
    new = tuple(each for each in changed(node, seed) if each.family == 4)
    few = narrow(rules.text, old, new)
    whole = {(str(each.now), each.path, each.earlier) for each in compare((rules, old), (rules, new))}
    small = {(str(each.now), each.path, each.earlier) for each in compare((rules, few[0]), (rules, few[1]))}
    assert small == whole
    assert sum(len(each.members) for each in few[0]) <= sum(len(each.members) for each in old)


def test_a_set_that_destinations_are_held_against_is_left_whole(node):
    old = tuple(each for each in node.sets if each.family == 4)
    peers = next(each for each in old if each.name.startswith("vos-peers"))
    new = tuple(replace(each, members=each.members[1:]) if each is peers else each for each in old)
    rules = next(each.text for each in node.rulesets if each.family == 4)
    assert narrow(rules, old, new) != (old, new)
    rules += f"-A VOS-X -m set --match-set {peers.name} dst -j DROP\n"
    assert narrow(rules, old, new) == (old, new)
