"""What differs between two compiled filters: traffic that is newly accepted, and newly dropped, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vosctl.compile.desired import IpSet, Ruleset
from vosctl.firewall.analysis.flow import Flow, flow
from vosctl.firewall.analysis.space import Space
from vosctl.firewall.analysis.vocabulary import Subject, Vocabulary
from vosctl.firewall.analysis.words import HEADER, conditions, in_words
from vosctl.firewall.simulate.walk import Fate

_WORDS = {Fate.ACCEPT: "accepted", Fate.DROP: "dropped", Fate.RETURN: "left to the host's own rules"}


@dataclass(frozen=True, slots=True)
class Moved:
    """Packets whose fate is another now: their headers in words, and the paths of the rules of both fates.

    ``only`` are conditions beside the header, one of which holds for each of the packets; empty where
    there is none.
    """

    packets: str
    now: Fate
    before: Fate
    path: str
    earlier: str
    only: tuple[str, ...] = ()

    def __str__(self) -> str:
        only = f" (where {' or '.join(self.only)})" if self.only else ""
        return (
            f"{self.packets}{only}: now {_WORDS[self.now]}{_by(self.path)} "
            f"(before: {_WORDS[self.before]}{_by(self.earlier)})"
        )


def compare(
    before: tuple[Ruleset, Iterable[IpSet]], after: tuple[Ruleset, Iterable[IpSet]]
) -> Iterator[Moved]:
    """Yield what two rulesets of one family do differently to arriving packets, newly accepted ones first.

    The comparison is exact over every header field and every condition; the words leave out what
    only keeps a packet from rules before the one that decides.
    """
    old, new = (Subject(ruleset, {ipset.name: ipset for ipset in sets}) for ruleset, sets in (before, after))
    vocabulary = Vocabulary((old, new))
    was, now = flow(vocabulary, old), flow(vocabulary, new)
    for fate in (Fate.ACCEPT, Fate.DROP, Fate.RETURN):
        for path, moved in _moved(vocabulary, fate, was, now):
            yield from _told(vocabulary, old, fate, path, moved)


def _moved(vocabulary: Vocabulary, fate: Fate, was: Flow, now: Flow) -> Iterator[tuple[str, Space]]:
    """Yield the packets that did not have this fate before, by the path of the rule that now decides."""
    same = tuple(box for space, _ in was.fates.get(fate, ()) for box in space)
    found: dict[str, Space] = {}
    for space, rule in now.fates.get(fate, ()):
        path = rule.path if rule is not None else ""
        found[path] = (*found.get(path, ()), *vocabulary.dimensions.subtract(space, same))
    yield from ((path, space) for path, space in found.items() if space)


def _told(vocabulary: Vocabulary, old: Subject, fate: Fate, path: str, moved: Space) -> Iterator[Moved]:
    origins: dict[tuple[Fate, str], Space] = {}
    for other, pieces in flow(vocabulary, old, moved).fates.items():
        for space, rule in pieces:
            key = other, rule.path if rule is not None else ""
            origins[key] = (*origins.get(key, ()), *space)
    for (other, earlier), space in origins.items():
        if not space or other is fate:
            continue
        headers: dict[tuple[tuple[str, int], ...], Space] = {}
        for box in space:
            header = tuple(sorted((name, mask) for name, mask in box.items() if name in HEADER))
            headers[header] = (*headers.get(header, ()), box)
        only = tuple(conditions(vocabulary, space))
        for header_box in vocabulary.dimensions.merged(tuple(dict(header) for header in headers)):
            yield Moved(in_words(vocabulary, header_box), fate, other, path, earlier, only)


def _by(path: str) -> str:
    return f" by {path}" if path else ""
