"""What differs between two compiled filters: traffic that is newly accepted, and newly dropped, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from vosctl.compile.desired import IpSet, Ruleset
from vosctl.firewall.analysis.flow import Flow, flow
from vosctl.firewall.analysis.space import Space
from vosctl.firewall.analysis.vocabulary import Subject, Vocabulary
from vosctl.firewall.analysis.words import HEADER, conditions, in_words
from vosctl.firewall.simulate.walk import Fate

_FEW = 2
_WORDS = {Fate.ACCEPT: "accepted", Fate.DROP: "dropped", Fate.RETURN: "left to the host's own rules"}


class Moved(Struct, frozen=True):
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
    only keeps a packet from rules before the one that decides. Nobody is banned: timed sets are empty.
    """
    old, new = (Subject(ruleset, {ipset.name: ipset for ipset in sets}) for ruleset, sets in (before, after))
    vocabulary = Vocabulary((old, new), timed=False)
    was, now = flow(vocabulary, old), flow(vocabulary, new)
    for fate in (Fate.ACCEPT, Fate.DROP, Fate.RETURN):
        reached = _by_path(now, fate)
        for path, moved in _moved(vocabulary, fate, was, reached):
            yield from _told(vocabulary, old, fate, path, (moved, reached[path]))


def _by_path(now: Flow, fate: Fate) -> dict[str, Space]:
    found: dict[str, Space] = {}
    for space, rule in now.fates.get(fate, ()):
        path = rule.path if rule is not None else ""
        found[path] = (*found.get(path, ()), *space)
    return found


def _moved(
    vocabulary: Vocabulary, fate: Fate, was: Flow, reached: Mapping[str, Space]
) -> Iterator[tuple[str, Space]]:
    """Yield the packets that did not have this fate before, by the path of the rule that now decides."""
    same = tuple(box for space, _ in was.fates.get(fate, ()) for box in space)
    for path, space in reached.items():
        moved = vocabulary.dimensions.subtract(space, same)
        if moved:
            yield path, moved


def _told(
    vocabulary: Vocabulary, old: Subject, fate: Fate, path: str, spaces: tuple[Space, Space]
) -> Iterator[Moved]:
    """Yield the packets of the first space, those that moved, in words; the second has all that the path decides."""
    moved, reached = spaces
    origins: dict[tuple[Fate, str], Space] = {}
    for other, pieces in flow(vocabulary, old, moved).fates.items():
        for space, rule in pieces:
            key = other, rule.path if rule is not None else ""
            origins[key] = (*origins.get(key, ()), *space)
    for (other, earlier), space in origins.items():
        if not space or other is fate:
            continue
        only = tuple(conditions(vocabulary, space))
        for packets in _packets(vocabulary, space, reached):
            yield Moved(packets, fate, other, path, earlier, only)


def _packets(vocabulary: Vocabulary, space: Space, reached: Space) -> Iterator[str]:
    """Yield the headers of a space in words; in one line where it is all that ``reached`` the deciding rules."""
    headers: dict[tuple[tuple[str, int], ...], Space] = {}
    for box in space:
        header = tuple(sorted((name, mask) for name, mask in box.items() if name in HEADER))
        headers[header] = (*headers.get(header, ()), box)
    boxes = vocabulary.dimensions.merged(tuple(dict(header) for header in headers))
    common = dict(set.intersection(*(set(box.items()) for box in boxes)))
    rest = vocabulary.dimensions.subtract(vocabulary.dimensions.both(reached, (common,)), space)
    if len(boxes) > _FEW and not rest:
        yield f"{in_words(vocabulary, common)}, that no rule before takes"
    else:
        yield from (in_words(vocabulary, box) for box in boxes)


def _by(path: str) -> str:
    return f" by {path}" if path else ""
