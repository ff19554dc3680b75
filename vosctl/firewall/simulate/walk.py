"""Follows a packet through the compiled chains: every rule it meets, and what may become of it.

Where a condition is not known, both ways are followed at once; what only one of them would change
(the DSCP value, connection tracking) is then not known either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import replace

from vosctl.compile.desired import Hook, Ruleset
from vosctl.firewall.simulate.match import World, holds, member_of
from vosctl.firewall.simulate.packet import Packet
from vosctl.firewall.simulate.parse import parse
from vosctl.firewall.simulate.rules import Chains, Condition, Rule, Target

Places = tuple[tuple[str, str], ...]

# In the order in which packets to and from the node itself meet them.
INPUT: Places = (
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("security", "INPUT"),
    ("nat", "INPUT"),
)
OUTPUT: Places = (
    ("raw", "OUTPUT"),
    ("mangle", "OUTPUT"),
    ("nat", "OUTPUT"),
    ("filter", "OUTPUT"),
    ("security", "OUTPUT"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
)
_DEEPEST = 32


class Fate(Enum):
    """What becomes of a packet: own rules accept or drop it, or leave it to the host's own rules and policy."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"


_FATES = {"ACCEPT": Fate.ACCEPT, "DROP": Fate.DROP, "REJECT": Fate.DROP, "RETURN": Fate.RETURN}


class Step(Struct, frozen=True):
    """A rule that the packet met.

    ``holds`` None: not known. ``sure`` False: it is not known that the packet gets here. ``unmet``
    is the first condition that does not hold, or the first that is not known.
    """

    rule: Rule
    holds: bool | None
    sure: bool
    depth: int
    unmet: Condition | None = None


class Journey(Struct):
    """All rules met, in order; what may become of the packet, and by which rule of each fate first.

    ``trouble`` says why rules cannot be followed (a chain that is missing, or jumps in circles).
    """

    steps: list[Step] = field(default_factory=list)
    fates: dict[Fate, Rule | None] = field(default_factory=dict)
    trouble: str = ""

    @property
    def fate(self) -> Fate | None:
        """The only possible fate, None where it is not known."""
        return next(iter(self.fates)) if len(self.fates) == 1 else None

    @property
    def decided_by(self) -> Rule | None:
        """The rule that decides, None where none does."""
        return next(iter(self.fates.values())) if len(self.fates) == 1 else None

    @property
    def unknown(self) -> tuple[Step, ...]:
        """The rules of which it is not known whether they match."""
        return tuple(step for step in self.steps if step.holds is None)


def follow(ruleset: Ruleset, packet: Packet, world: World) -> Journey:
    """Return the packet's way through the own chains of its family, in the kernel's order of hooks.

    Raises ValueError where the ruleset's text cannot be read.
    """
    return _Walk(parse(ruleset.text), ruleset.hooks, packet, world).run()


class _Walk:
    def __init__(self, chains: Chains, hooks: tuple[Hook, ...], packet: Packet, world: World) -> None:
        self._chains, self._hooks, self._packet, self._world = chains, hooks, packet, world
        self._journey = Journey()

    def run(self) -> Journey:
        fates = self._journey.fates
        sure = True
        ends: dict[Fate, Rule | None] = {Fate.RETURN: None}
        for place in OUTPUT if self._packet.outgoing else INPUT:
            own = [hook for hook in self._hooks if (hook.table, hook.parent) == place]
            if not own:
                continue
            found = self._place(own, sure=sure)
            if Fate.DROP in found:
                fates.setdefault(Fate.DROP, found.pop(Fate.DROP))
            if not found:
                return self._journey
            sure = sure and Fate.DROP not in fates
            if place[0] == "filter":
                ends = found
        fates.update(ends)
        return self._journey

    def _place(self, hooks: list[Hook], *, sure: bool) -> dict[Fate, Rule | None]:
        """Return what may happen at one place of the kernel's: own chains are hooked in their order."""
        ends: dict[Fate, Rule | None] = {}
        for hook in hooks:
            found = self._chain(hook.table, hook.chain, sure=sure, depth=0)
            returns = found.pop(Fate.RETURN, _NONE)
            ends = {**found, **ends}
            if returns is _NONE:
                return ends
            sure = sure and not ends
        return {**ends, Fate.RETURN: returns if isinstance(returns, Rule) else None}

    def _chain(self, table: str, name: str, *, sure: bool, depth: int) -> dict[Fate, Rule | None]:
        """Return what may become of the packet in the chain, each with the first rule that would do it."""
        rules = self._chains.get((table, name))
        if rules is None or depth > _DEEPEST:
            self._journey.trouble = f"chain {name} of table {table} is missing or jumps in circles"
            return {Fate.DROP: None}
        ends: dict[Fate, Rule | None] = {}
        for rule in rules:
            answer, unmet = _matches(rule, self._packet, self._world)
            self._journey.steps.append(Step(rule, answer, sure, depth, unmet))
            if answer is False:
                continue
            leaving, goes_on = self._apply(rule, sure=sure and answer is True, depth=depth)
            ends = {**leaving, **ends}
            if answer is True and not goes_on:
                return ends
            sure = sure and not leaving
        return {**ends, Fate.RETURN: ends.get(Fate.RETURN)}

    def _apply(self, rule: Rule, *, sure: bool, depth: int) -> tuple[dict[Fate, Rule | None], bool]:
        """Return with what the packet may leave the chain here, and whether it may go on to the next rule."""
        target = rule.target
        if target.name in _FATES:
            return {_FATES[target.name]: rule}, False
        if target.name in _EFFECTS:
            if target.name == "SET":
                self._touch_set(target, sure=sure)
            else:
                self._change(_EFFECTS[target.name](target, self._packet), sure=sure)
            return {}, True
        if (rule.table, target.name) not in self._chains:
            self._journey.trouble = f"{target.name} is not modelled: {rule.text}"
            return {Fate.DROP: rule}, True
        below = self._chain(rule.table, target.name, sure=sure, depth=depth + 1)
        if target.goto:
            return below, False
        goes_on = below.pop(Fate.RETURN, _NONE) is not _NONE
        return below, goes_on

    def _touch_set(self, target: Target, *, sure: bool) -> None:
        for option in target.options.keys() & {"--add-set", "--del-set"}:
            name, ends = target.options[option][:2]
            member = member_of(self._packet, tuple(ends.split(",")))
            self._world.touched[name, member] = option == "--add-set" if sure else None

    def _change(self, changed: Packet, *, sure: bool) -> None:
        if sure or changed == self._packet:
            self._packet = changed
            return
        before = self._packet
        self._packet = replace(
            changed,
            state=before.state if before.state == changed.state else None,
            dscp=before.dscp if before.dscp == changed.dscp else None,
        )


_NONE = object()


def _matches(rule: Rule, packet: Packet, world: World) -> tuple[bool | None, Condition | None]:
    unknown = None
    for condition in rule.conditions:
        answer = holds(condition, packet, world)
        if answer is False:
            return False, condition
        if answer is None:
            unknown = unknown or condition
    return (True, None) if unknown is None else (None, unknown)


def _unchanged(_target: Target, packet: Packet) -> Packet:
    return packet


def _notrack(target: Target, packet: Packet) -> Packet:
    untracked = target.name == "NOTRACK" or "--notrack" in target.options
    return replace(packet, state="UNTRACKED") if untracked else packet


def _set_dscp(target: Target, packet: Packet) -> Packet:
    value = target.options.get("--set-dscp")
    return replace(packet, dscp=int(value[0], 0) if value else None)


_EFFECTS: Mapping[str, Callable[[Target, Packet], Packet]] = {
    "CT": _notrack,
    "NOTRACK": _notrack,
    "DSCP": _set_dscp,
    **dict.fromkeys(
        ("", "SET", "LOG", "NFLOG", "MARK", "CONNMARK", "TOS", "TCPMSS", "CLASSIFY", "TRACE"), _unchanged
    ),
}
