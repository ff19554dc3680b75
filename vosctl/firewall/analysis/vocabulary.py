"""Conditions of compiled rules as boxes: header fields by their values, everything else as a yes or a no.

A text, a u32 test, a set that the node fills and a set with ports are dimensions of their own that
hold or do not, the same wherever they stand. A budget, a limit, a set that rules change or a match
that is not modelled may answer differently each time, so each of them is a dimension of its own rule.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from vosctl.compile.desired import IpSet, Ruleset
from vosctl.firewall.analysis.atoms import Field, Spans, cut, joined
from vosctl.firewall.analysis.space import Box, Dimensions
from vosctl.firewall.simulate.parse import parse
from vosctl.firewall.simulate.rules import (
    AddressIn,
    Chains,
    Condition,
    ConnectionsOver,
    DirectionIs,
    DscpIs,
    End,
    FlagsAre,
    HopsIn,
    IcmpIs,
    LengthIn,
    MemberOf,
    Over,
    PortIn,
    ProtocolIs,
    Rule,
    StateIn,
    Unmodelled,
    Via,
)
from vosctl.site.model import Network

STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
_LAST = {"protocol": 255, "sport": 65535, "dport": 65535, "icmp": 65535, "state": len(STATES) - 1,
         "length": 65535, "hops": 255, "dscp": 63, "flags": 63}  # fmt: skip
_UNSTEADY = (Over, ConnectionsOver, Unmodelled)
_ENDS = {End.SOURCE: ("sport",), End.DESTINATION: ("dport",), End.EITHER: ("sport", "dport")}

Choice = tuple[str, Spans | bool]
"""A dimension and its values, or that it holds."""


class Subject(Struct, frozen=True):
    """A compiled ruleset with the sets that it asks."""

    ruleset: Ruleset
    sets: Mapping[str, IpSet]

    @property
    def chains(self) -> Chains:
        """The rules, by table and chain."""
        return parse(self.ruleset.text)


class Vocabulary:
    """The dimensions of one or several rulesets of a family, and each rule as boxes of them.

    Without ``timed``, sets whose members the node puts in for a while are taken as empty.
    """

    def __init__(self, subjects: Iterable[Subject], *, timed: bool = True) -> None:
        self.subjects = tuple(subjects)
        sets = (ipset for subject in self.subjects for ipset in subject.sets.values())
        self._empty = frozenset(ipset.name for ipset in sets if ipset.dynamic and not timed)
        self._interfaces = ["", *sorted({c.test.name for c in self._conditions() if isinstance(c.test, Via)})]
        self._moving = set(self._changed_sets()) - self._empty
        self._boxes: dict[tuple[int, Rule], tuple[Box, ...]] = {}
        self._networks: dict[tuple[Network, ...], Spans] = {}
        self._members: dict[tuple[str, str], Spans] = {}
        wanted: dict[str, list[Spans]] = {}
        for subject in self.subjects:
            for rules in subject.chains.values():
                for rule in rules:
                    for condition in rule.conditions:
                        for name, values in self._choices(rule, condition, subject):
                            if not isinstance(values, bool):
                                wanted.setdefault(name, []).append(values)
        self.fields: dict[str, Field] = {name: cut(self._last(name), spans) for name, spans in wanted.items()}
        self.dimensions = Dimensions({name: len(field.atoms) for name, field in self.fields.items()})

    def boxes(self, rule: Rule, subject: Subject) -> tuple[Box, ...]:
        """Return the packets that the rule's conditions let through; boxes do not overlap."""
        key = id(subject), rule
        if key not in self._boxes:
            self._boxes[key] = self._every(rule, subject)
        return self._boxes[key]

    def _every(self, rule: Rule, subject: Subject) -> tuple[Box, ...]:
        found: tuple[Box, ...] = ({},)
        for condition in rule.conditions:
            found = self.dimensions.both(found, self._condition(rule, condition, subject))
        return found

    def _condition(self, rule: Rule, condition: Condition, subject: Subject) -> tuple[Box, ...]:
        pieces: tuple[Box, ...] = ()
        for name, values in self._choices(rule, condition, subject):
            pieces = self.dimensions.unite(pieces, ({name: self._mask(name, values)},))
        pieces = tuple(piece for piece in pieces if all(piece.values()))
        return self.dimensions.subtract(({},), pieces) if condition.negated else pieces

    def _mask(self, name: str, values: Spans | bool) -> int:  # noqa: FBT001  a value, not a switch
        if isinstance(values, bool):
            return 2 if values else 1
        mask: int = self.fields[name].masks[values]
        return mask

    def _choices(self, rule: Rule, condition: Condition, subject: Subject) -> list[Choice]:
        """Return what must hold: one of these."""
        test = condition.test
        if isinstance(test, _UNSTEADY) or (isinstance(test, MemberOf) and test.name in self._moving):
            return [(f"{rule.table} {rule.chain}: {condition.text} #{_turn(rule, condition)}", True)]
        if isinstance(test, MemberOf):
            return [] if test.name in self._empty else [self._member(test, subject)]
        if isinstance(test, AddressIn):
            return [(test.end.value, self._spans(test.networks))]
        if isinstance(test, PortIn):
            return [(name, joined(sorted(test.spans))) for name in _ENDS[test.end]]
        if isinstance(test, Via):
            return [("interface", self._via(test.name))]
        simple = _SIMPLE.get(type(test))
        return [simple(test)] if simple is not None else [(condition.text.removeprefix("! "), True)]

    def _member(self, test: MemberOf, subject: Subject) -> Choice:
        ipset = subject.sets.get(test.name)
        if ipset is None or ipset.dynamic or len(test.ends) > 1 or "nomatch" in " ".join(ipset.members[:1]):
            return f"in set {test.name} ({','.join(test.ends)})", True
        key = (ipset.name, ipset.digest)
        if key not in self._members:
            self._members[key] = _member_spans(ipset)
        return "source" if test.ends[0] == "src" else "destination", self._members[key]

    def _spans(self, networks: tuple[Network, ...]) -> Spans:
        if networks not in self._networks:
            ends = sorted((int(net.network_address), int(net.broadcast_address)) for net in networks)
            self._networks[networks] = joined(ends)
        return self._networks[networks]

    def _via(self, name: str) -> Spans:
        begin = name.removesuffix("+")
        named = [at for at, known in enumerate(self._interfaces) if at and known.startswith(begin)]
        return joined((at, at) for at in (named if name.endswith("+") else [self._interfaces.index(name)]))

    def interface(self, index: int) -> str:
        """Return the name of an interface's number; 0 is every other one."""
        return self._interfaces[index] or "any other interface"

    def _last(self, name: str) -> int:
        if name in ("source", "destination"):
            return (1 << (32 if self.subjects[0].ruleset.family == 4 else 128)) - 1
        return len(self._interfaces) - 1 if name == "interface" else _LAST[name]

    def _changed_sets(self) -> Iterable[str]:
        """Yield the sets that rules themselves change: who is in them differs from rule to rule."""
        for subject in self.subjects:
            for rules in subject.chains.values():
                for rule in rules:
                    for option in ("--add-set", "--del-set"):
                        yield from rule.target.options.get(option, ())[:1]

    def _conditions(self) -> Iterable[Condition]:
        for subject in self.subjects:
            for rules in subject.chains.values():
                for rule in rules:
                    yield from rule.conditions


def _turn(rule: Rule, condition: Condition) -> str:
    """Return what tells the rule from others of its chain with the same budget: its path and purpose."""
    return f"{rule.comment or rule.number} {rule.conditions.index(condition)}"


_SIMPLE: Mapping[type, Callable[[Any], Choice]] = {
    ProtocolIs: lambda test: ("protocol", ((test.number, test.number),) if test.number else ((0, 255),)),
    FlagsAre: lambda test: ("flags", joined((v, v) for v in range(64) if v & test.mask == test.value)),
    IcmpIs: lambda test: ("icmp", _icmp(test)),
    StateIn: lambda test: ("state", joined((at, at) for at, s in enumerate(STATES) if s in test.states)),
    DirectionIs: lambda test: ("goes the way of its connection's first packet", test.original),
    LengthIn: lambda test: ("length", (test.span,)),
    HopsIn: lambda test: ("hops", (test.span,)),
    DscpIs: lambda test: ("dscp", ((test.value, test.value),)),
}


def _icmp(test: IcmpIs) -> Spans:
    first = test.type << 8
    return ((first, first + 255),) if test.code is None else ((first + test.code, first + test.code),)


def _member_spans(ipset: IpSet) -> Spans:
    """Return the addresses of a set's members as spans."""
    kind, bits = (socket.AF_INET, 32) if ipset.family == 4 else (socket.AF_INET6, 128)
    spans = []
    for member in ipset.members:
        address, slash, length = member.partition("/")
        low = int.from_bytes(socket.inet_pton(kind, address), "big")
        spans.append((low, low | (1 << bits - int(length)) - 1 if slash else low))
    return joined(sorted(spans))
