"""Rules that no packet can reach, since earlier ones take all that they match, and rules that later ones make needless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from vosctl.compile.desired import IpSet, Ruleset
from vosctl.firewall.analysis.flow import Flow, flow, would_do
from vosctl.firewall.analysis.space import NOTHING, Space
from vosctl.firewall.analysis.vocabulary import Subject, Vocabulary
from vosctl.firewall.refusal import PREFIX
from vosctl.firewall.simulate.rules import Rule


class Shadow(Struct, frozen=True):
    """A rule that no packet can reach, and the earlier rules of its chain that take its packets."""

    rule: Rule
    by: tuple[Rule, ...]


def shadows(ruleset: Ruleset, sets: Iterable[IpSet]) -> Iterator[Shadow]:
    """Yield the rules of the filter table that match packets, but never get one.

    What is not modelled may hold or not, so it hides nothing. A rule of a set without members
    matches no packet at all, which is no shadow: sets change.
    """
    for vocabulary, subject, found in _flows(ruleset, sets):
        for name in found.entered:
            rules = subject.chains["filter", name]
            for rule in rules:
                if rule in found.possible and rule not in found.matched:
                    yield Shadow(rule, tuple(_takers(vocabulary, subject, rules, rule)))


def needless(ruleset: Ruleset, sets: Iterable[IpSet]) -> Iterator[Rule]:
    """Yield the rules that accept or drop what the rest of their chain would accept, or drop for the same reason.

    Rules whose packets might leave the chain are not among them: who jumps there decides about those.
    """
    for vocabulary, subject, found in _flows(ruleset, sets):
        for rule, visits in found.visits.items():
            if _decides(rule) and all(
                would_do(vocabulary, subject, rule, visit, rule.target.name) for visit in visits
            ):
                yield rule


def _flows(ruleset: Ruleset, sets: Iterable[IpSet]) -> Iterator[tuple[Vocabulary, Subject, Flow]]:
    subject = Subject(ruleset, {ipset.name: ipset for ipset in sets})
    vocabulary = Vocabulary((subject,))
    for parent in dict.fromkeys(hook.parent for hook in ruleset.hooks if hook.table == "filter"):
        yield vocabulary, subject, flow(vocabulary, subject, parent=parent)


def _decides(rule: Rule) -> bool:
    return rule.target.name in ("ACCEPT", "DROP") or rule.target.name.startswith(PREFIX)


def _takers(vocabulary: Vocabulary, subject: Subject, rules: Iterable[Rule], hidden: Rule) -> Iterator[Rule]:
    """Yield the earlier rules of the chain that share packets with the hidden one, until none is left."""
    left: Space = vocabulary.boxes(hidden, subject)
    for rule in rules:
        if rule is hidden or left == NOTHING:
            return
        boxes = vocabulary.boxes(rule, subject)
        if rule.target.name and vocabulary.dimensions.both(left, boxes):
            left = vocabulary.dimensions.subtract(left, boxes)
            yield rule
