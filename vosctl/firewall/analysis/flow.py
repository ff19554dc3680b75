"""Sends all packets at once through a table's chains: which rules they reach, and what becomes of them."""

from __future__ import annotations

from msgspec import Struct, field

from vosctl.firewall.analysis.space import EVERYTHING, NOTHING, Space
from vosctl.firewall.analysis.vocabulary import Subject, Vocabulary
from vosctl.firewall.simulate.rules import Rule
from vosctl.firewall.simulate.walk import Fate

_FATES = {"ACCEPT": Fate.ACCEPT, "DROP": Fate.DROP, "REJECT": Fate.DROP}
_DEEPEST = 32


class Flow(Struct):
    """What was seen: packets that reach each rule and match it, packets of each fate with the rule that decides.

    A rule that only drops what another sent to it stands for that other one in ``fates``. ``entered``
    are chains that packets reach; ``visits`` are what each rule matched, and by whom it was sent.
    """

    matched: set[Rule] = field(default_factory=set)
    entered: set[str] = field(default_factory=set)
    possible: set[Rule] = field(default_factory=set)
    fates: dict[Fate, list[tuple[Space, Rule | None]]] = field(default_factory=dict)
    visits: dict[Rule, list[tuple[Space, Rule | None]]] = field(default_factory=dict)


class _Walk:
    def __init__(
        self, vocabulary: Vocabulary, subject: Subject, table: str, *, only: str | None = None
    ) -> None:
        self._vocabulary, self._subject, self._table, self._only = vocabulary, subject, table, only
        self._chains = subject.chains
        self.flow = Flow()

    def chain(
        self, name: str, space: Space, sender: Rule | None = None, depth: int = 0, *, skipped: int = 0
    ) -> Space:
        """Return the packets that come out at the end of the chain; the first ``skipped`` rules are left out."""
        rules = self._chains.get((self._table, name))
        if rules is None or depth > _DEEPEST:
            self._end(Fate.DROP, space, sender)  # cannot be loaded; whoever loads it says so
            return NOTHING
        self.flow.entered.add(name)
        returned = NOTHING
        for rule in rules[skipped:]:
            leaving, space = self._rule(rule, space, sender, depth)
            returned = (*returned, *leaving)
        return (*returned, *space)

    def _rule(self, rule: Rule, space: Space, sender: Rule | None, depth: int) -> tuple[Space, Space]:
        """Return the packets that leave the chain by the rule, and those that go on to the next rule."""
        dimensions = self._vocabulary.dimensions
        boxes = self._vocabulary.boxes(rule, self._subject)
        if boxes:
            self.flow.possible.add(rule)
        matched = dimensions.both(space, boxes)
        if not matched:
            return NOTHING, space
        self.flow.matched.add(rule)
        self.flow.visits.setdefault(rule, []).append((matched, sender))
        target = rule.target.name
        jumps = (self._table, target) in self._chains
        if target not in _FATES and target != "RETURN" and not jumps:
            return NOTHING, space
        rest = dimensions.subtract(space, boxes)
        if target in _FATES:
            self._end(
                _FATES[target], matched, sender if rule.purpose.startswith("dropped: ") and sender else rule
            )
            return NOTHING, rest
        if target == "RETURN":
            return matched, rest
        below = self.chain(target, matched, rule, depth + 1)
        return (below, rest) if rule.target.goto else (NOTHING, (*rest, *below))

    def _end(self, fate: Fate, space: Space, rule: Rule | None) -> None:
        if self._only is not None and (rule is None or rule.target.name != self._only):
            raise _OtherwiseError
        self.flow.fates.setdefault(fate, []).append((space, rule))


def flow(
    vocabulary: Vocabulary, subject: Subject, space: Space = EVERYTHING, *, parent: str = "INPUT"
) -> Flow:
    """Return what becomes of the packets that enter the filter table's own chains from ``parent``."""
    table = "filter"
    walk = _Walk(vocabulary, subject, table)
    for hook in subject.ruleset.hooks:
        if (hook.table, hook.parent) == (table, parent):
            space = walk.chain(hook.chain, space)
    walk.flow.fates.setdefault(Fate.RETURN, []).append((space, None))
    return walk.flow


def would_do(
    vocabulary: Vocabulary, subject: Subject, rule: Rule, visit: tuple[Space, Rule | None], target: str
) -> bool:
    """Return whether the rest of the rule's chain would bring every packet of a visit to ``target``."""
    space, sender = visit
    walk = _Walk(vocabulary, subject, rule.table, only=target)
    try:
        return not walk.chain(rule.chain, space, sender, skipped=rule.number)
    except _OtherwiseError:
        return False


class _OtherwiseError(Exception):
    """A packet ends otherwise than at the target that was asked for."""
