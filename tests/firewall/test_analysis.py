"""Rules that nothing reaches, and what differs between two revisions: the algebra, known cases, and the simulator's word."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from random_filters import Rules, Strangers, packet, policy
from site_samples import firewall, gateway, networks, node, site, two_edges

from vosctl.compile.desired import Hook, IpSet, Ruleset
from vosctl.compile.site import compile_site
from vosctl.firewall.analysis.atoms import cut, joined
from vosctl.firewall.analysis.compare import compare
from vosctl.firewall.analysis.shadows import needless, shadows
from vosctl.firewall.analysis.space import EVERYTHING, Dimensions
from vosctl.firewall.simulate.match import World, memberships
from vosctl.firewall.simulate.walk import follow
from vosctl.site.read import SiteOptions, read_site

EXAMPLE = Path(__file__).parents[2] / "inventory"
SIZES = {"a": 3, "b": 4, "c": 2}
DIMENSIONS = Dimensions(SIZES)
boxes = st.fixed_dictionaries(
    {}, optional={name: st.integers(1, (1 << size) - 1) for name, size in SIZES.items()}
)
spaces = st.lists(boxes, max_size=4).map(tuple)


def points(space):
    """All points of a space of these small dimensions."""
    names = list(SIZES)
    return [
        point
        for point in itertools.product(*(range(SIZES[name]) for name in names))
        for box in space
        if all(box.get(name, -1) >> at & 1 for name, at in zip(names, point, strict=True))
    ]


def disjoint(space):
    return DIMENSIONS.subtract(EVERYTHING, DIMENSIONS.subtract(EVERYTHING, space))


@given(spaces, spaces)
@settings(max_examples=400, deadline=None)
def test_the_algebra_is_that_of_sets(left, right):
    some, other = disjoint(left), disjoint(right)
    assert len(points(some)) == len(set(points(some)))
    assert set(points(some)) == set(points(left))
    for result, expected in (
        (DIMENSIONS.subtract(some, right), set(points(left)) - set(points(right))),
        (DIMENSIONS.both(some, other), set(points(left)) & set(points(right))),
        (DIMENSIONS.unite(some, other), set(points(left)) | set(points(right))),
        (DIMENSIONS.merged(some), set(points(left))),
    ):
        assert sorted(points(result)) == sorted(expected)  # no point twice: boxes do not overlap


@given(
    st.lists(st.sets(st.integers(0, 30), min_size=1).map(lambda found: joined((n, n) for n in sorted(found))))
)
@settings(max_examples=300, deadline=None)
def test_atoms_make_up_every_set_of_values(wanted):
    field = cut(30, wanted)
    every = sorted(span for atom in field.atoms for span in atom)
    assert joined(every) == ((0, 30),)
    assert sum(last - first + 1 for first, last in every) == 31
    for spans in wanted:
        assert field.spans(field.masks[spans]) == spans


def ruleset(*rules, sets=()):
    names = {"VOS-INPUT", *(rule.split()[0] for rule in rules)}
    text = "*filter\n" + "".join(f":{name} - [0:0]\n" for name in sorted(names))
    text += "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    return Ruleset(4, text, (Hook("filter", "INPUT", "VOS-INPUT"),)), sets


SETS = (
    IpSet("vos-a", "hash:net", 4, ("192.0.2.0/25", "192.0.2.128/25"), 64),
    IpSet("vos-empty", "hash:net", 4, (), 64),
    IpSet("vos-ban", "hash:net", 4, (), 64, "timeout 600"),
)


@pytest.mark.parametrize(
    ("rules", "hidden"),
    [
        (("VOS-INPUT -p udp -j DROP", "VOS-INPUT -p udp -m udp --dport 5060 -j ACCEPT"), [2]),
        (("VOS-INPUT -p udp -m udp --dport 5060 -j ACCEPT", "VOS-INPUT -p udp -j DROP"), []),
        # a union of earlier rules hides, no single one does
        (("VOS-INPUT -s 192.0.2.0/25 -j DROP", "VOS-INPUT -s 192.0.2.128/25 -j ACCEPT", "VOS-INPUT -s 192.0.2.0/24 -j DROP"),
         [3]),
        (("VOS-INPUT -m set --match-set vos-a src -j DROP", "VOS-INPUT -s 192.0.2.77 -p tcp -j ACCEPT"), [2]),
        (("VOS-INPUT ! -s 192.0.2.0/24 -j DROP", "VOS-INPUT -m set ! --match-set vos-a src -j ACCEPT"), [2]),
        (("VOS-INPUT -p tcp -m tcp --dport 1:1023 -j DROP", "VOS-INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT"), [2]),
        (("VOS-INPUT -p tcp -m tcp --dport 1:1023 -j DROP", "VOS-INPUT -p tcp -m multiport --ports 22 -j ACCEPT"), []),
        # a text is one condition wherever it stands, a budget never
        (("VOS-INPUT -m string --string x --algo bm --to 99 -j DROP",
          "VOS-INPUT -p udp -m string --string x --algo bm --to 99 -j ACCEPT"), [2]),
        (("VOS-INPUT -m string --string x --algo bm --to 99 -j DROP",
          "VOS-INPUT -m string ! --string x --algo bm --to 99 -j DROP", "VOS-INPUT -j ACCEPT"), [3]),
        (("VOS-INPUT -m limit --limit 5/sec -j ACCEPT", "VOS-INPUT -m limit --limit 5/sec -j DROP"), []),
        (("VOS-INPUT -m recent --rcheck -j DROP", "VOS-INPUT -m recent --rcheck -j ACCEPT"), []),
        # what is not known hides nothing
        (("VOS-INPUT -m set --match-set vos-ban src -j DROP", "VOS-INPUT -s 192.0.2.1 -j ACCEPT"), []),
        (("VOS-INPUT -m set --match-set vos-empty src -j DROP", "VOS-INPUT -j ACCEPT"), []),
        (("VOS-INPUT -m conntrack --ctstate NEW,ESTABLISHED,RELATED,INVALID,UNTRACKED -j DROP", "VOS-INPUT -j ACCEPT"), [2]),
        (("VOS-INPUT -m conntrack --ctstate NEW,ESTABLISHED,RELATED -j DROP", "VOS-INPUT -j ACCEPT"), []),
        # chains: what they take is gone, what they return is not
        (("VOS-INPUT -p tcp -j VOS-X", "VOS-INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "VOS-X -j DROP"), [2]),
        (("VOS-INPUT -p tcp -j VOS-X", "VOS-INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "VOS-X -s 192.0.2.1 -j RETURN",
          "VOS-X -j DROP"), []),
        (("VOS-INPUT -p tcp -g VOS-X", "VOS-INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "VOS-X -p udp -j DROP"), [2, 3]),
        (("VOS-INPUT -j NFLOG", "VOS-INPUT -j SET --add-set vos-a src", "VOS-INPUT -j ACCEPT"), []),
    ],
)  # fmt: skip
def test_known_shadows(rules, hidden):
    rules_text, _ = ruleset(*rules)
    found = {shadow.rule.text for shadow in shadows(rules_text, SETS)}
    assert found == {f"-A {rules[number - 1]}" for number in hidden}


@pytest.mark.parametrize(
    ("rules", "spare"),
    [
        (("VOS-INPUT -p udp -j DROP", "VOS-INPUT -j DROP"), [1]),
        (("VOS-INPUT -p udp -j DROP", "VOS-INPUT -j ACCEPT"), []),
        (("VOS-INPUT -s 192.0.2.1 -j ACCEPT", "VOS-INPUT -m set --match-set vos-a src -j ACCEPT", "VOS-INPUT -j DROP"), [1]),
        (("VOS-INPUT -s 192.0.2.1 -j ACCEPT", "VOS-INPUT -p udp -m limit --limit 1/sec -j DROP",
          "VOS-INPUT -m set --match-set vos-a src -j ACCEPT", "VOS-INPUT -j DROP"), []),
        (("VOS-INPUT -p udp -j VOS-DROP-A", "VOS-INPUT -j VOS-DROP-B", "VOS-DROP-A -j DROP", "VOS-DROP-B -j DROP"), []),
        (("VOS-INPUT -p udp -j VOS-DROP-A", "VOS-INPUT -j VOS-DROP-A", "VOS-DROP-A -j DROP"), [1]),
        (("VOS-INPUT -p udp -j DROP",), []),  # the host's own rules might accept it
    ],
)  # fmt: skip
def test_known_needless_rules(rules, spare):
    text, _ = ruleset(*(f'{words.rpartition(" -j")[0]} -m comment --comment "a: dropped: a" -j DROP'
                        if words.startswith("VOS-DROP") else words for words in rules))  # fmt: skip
    found = [rule.text for rule in needless(text, SETS)]
    assert found == [f"-A {rules[number - 1]}" for number in spare]


def test_a_shadow_names_the_rules_that_make_it():
    rules, _ = ruleset("VOS-INPUT -s 192.0.2.0/25 -j DROP", "VOS-INPUT -p udp -j NFLOG",
                       "VOS-INPUT -s 192.0.2.128/25 -j ACCEPT", "VOS-INPUT -s 192.0.2.0/24 -j DROP")  # fmt: skip
    (found,) = shadows(rules, ())
    assert [rule.number for rule in found.by if rule.target.name in ("DROP", "ACCEPT")] == [1, 3]


@pytest.mark.parametrize("family", [4, 6])
def test_no_packet_ever_reaches_a_shadowed_rule(family):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice, strangers = random.Random(seed), Strangers()
    hidden = 0
    for _ in range(60):
        desired = Rules(dice, family).desired()
        ways = {rule.rule for rule in shadows(desired.rulesets[0], desired.sets)}
        hidden += len(ways)
        world = World(memberships(desired.sets), kernel=(6, 6))
        for _ in range(40):
            journey = follow(desired.rulesets[0], packet(dice, family, strangers), replace(world, touched={}))
            reached = {step.rule for step in journey.steps if step.holds and step.sure}
            assert not reached & ways
    assert hidden > 30


def test_shipped_rulesets_have_no_shadow_and_nothing_needless():
    example, problems = read_site(SiteOptions(inventory=(EXAMPLE,)))
    assert not problems.errors
    for desired in (
        *compile_site(two_edges(), release=None).values(),
        *compile_site(example, release=None).values(),
    ):
        for each in desired.rulesets:
            assert [shadow.rule.text for shadow in shadows(each, desired.sets)] == []
            assert [rule.text for rule in needless(each, desired.sets)] == []


def edge(**changes):
    own = node("edge-a", "10.231.0.2", (gateway("acme", "203.0.113.10/32"),), firewall=firewall(**changes))
    desired = compile_site(site(own), release=None)["edge-a"]
    return desired.rulesets[0], desired.sets


def told(before, after):
    return [str(moved) for moved in compare(before, after)]


def test_the_same_revision_differs_in_nothing():
    assert told(edge(), edge()) == []


def test_a_new_peer_is_told_with_what_dropped_it_before():
    lines = told(edge(trusted=()), edge(trusted=networks("198.51.100.64/26")))
    assert any(
        line.startswith("UDP from 198.51.100.64/26 to port 5060")
        and "firewall.trusted (before: dropped by gateways" in line
        for line in lines
    ), lines
    assert all("now accepted" in line for line in lines)
    back = told(edge(trusted=networks("198.51.100.64/26")), edge(trusted=()))
    assert back and all("now dropped" in line for line in back)


def test_another_management_port_closes_the_old_one():
    lines = told(edge(management={"ssh": (22,)}), edge(management={"ssh": (2222,)}))
    assert any(
        "to port 2222" in line and "now dropped by firewall.management.ssh" in line for line in lines
    ), lines


def test_what_is_said_to_move_moves():
    """The comparison against the simulator: packets of either fate, before and after."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice, strangers = random.Random(seed), Strangers()
    for _ in range(10):
        old, new = policy(dice), policy(dice)
        moved = list(compare((old.rulesets[0], old.sets), (new.rulesets[0], new.sets)))
        worlds = [World(memberships(each.sets), kernel=(6, 6)) for each in (old, new)]
        for _ in range(60):
            one = packet(dice, 4, strangers)
            fates = [
                follow(each.rulesets[0], one, world).fate
                for each, world in zip((old, new), worlds, strict=True)
            ]
            if None not in fates and fates[0] is not fates[1]:
                assert any(each.before is fates[0] and each.now is fates[1] for each in moved), (one, fates)
