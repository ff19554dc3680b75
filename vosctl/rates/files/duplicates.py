"""Rows of a deck file that say something of the same prefix at the same time: one counts, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct, field

from vosctl.site.decks import Rate
from vosctl.site.suggest import listed

Key = tuple[str, str, "datetime | None"]
_TOLD = 3


class Settled(Struct):
    """Indices of rates that do not count; by line what was ``corrected``, and what was ``refused`` as a whole."""

    dropped: set[int] = field(default_factory=set)
    corrected: dict[int, list[str]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def settle(rates: Sequence[Rate], ranged: set[int], policy: str) -> Settled:
    """Return which rates count of those with one prefix, section and beginning.

    Equal ones count once. A prefix that a row writes out beats one out of a range (``ranged`` has the
    indices of those). Where rates contradict each other, ``policy`` says which counts: the first, last,
    highest or lowest; ``refuse``: none.
    """
    judge = _Judge(rates, ranged, policy)
    for group in _groups(rates):
        judge.settle(group)
    return judge.settled()


def _groups(rates: Sequence[Rate]) -> list[list[int]]:
    first: dict[Key, int] = {}
    groups: dict[Key, list[int]] = {}
    for index, rate in enumerate(rates):
        key = rate.prefix, rate.section, rate.valid_from
        known = first.setdefault(key, index)
        if known != index:
            groups.setdefault(key, [known]).append(index)
    return list(groups.values())


class _Judge(Struct):
    rates: Sequence[Rate]
    ranged: set[int]
    policy: str
    dropped: set[int] = field(default_factory=set)
    corrected: dict[int, list[str]] = field(default_factory=dict)
    against: dict[int, dict[str, list[str]]] = field(default_factory=dict)

    def settle(self, group: list[int]) -> None:
        """Decide which of the rates with these indices count."""
        group = self._without_ranged(group)
        rates = self.rates
        if all(_alike(rates[group[0]], rates[index]) for index in group):
            for index in group[1:]:
                self._drop(index, f"{_name(rates[index])} is the same in line {rates[group[0]].mark.line}")
        elif self.policy == "refuse":
            for index, other in _contradictions(group, rates):
                self.dropped.add(index)
                why = self.against.setdefault(rates[index].mark.line, {})
                why.setdefault(_against(rates[index], rates[other]), []).append(_name(rates[index]))
        else:
            self._keep(_pick(group, rates, self.policy), group)

    def settled(self) -> Settled:
        """Return what was decided; a row of which nothing is left, for contradictions, is refused."""
        settled = Settled(self.dropped, self.corrected)
        if self.against:
            lines = Counter(rate.mark.line for rate in self.rates)
            gone = Counter(self.rates[index].mark.line for index in self.dropped)
            for line, why in self.against.items():
                told = "; ".join(f"{what} for {listed(names, most=_TOLD)}" for what, names in why.items())
                if gone[line] == lines[line]:
                    settled.refused[line] = told
                else:
                    settled.corrected.setdefault(line, []).append(f"left out: {told}")
        return settled

    def _without_ranged(self, group: list[int]) -> list[int]:
        own = [index for index in group if index not in self.ranged]
        if not own:
            return group
        for index in group:
            if index in self.ranged:
                where = f"line {self.rates[own[0]].mark.line}"
                self._drop(index, f"{_name(self.rates[index])} left out: {where} has it by itself")
        return own

    def _keep(self, kept: int, group: Sequence[int]) -> None:
        where = f"line {self.rates[kept].mark.line}"
        for index in group:
            if index != kept:
                self._drop(
                    index, f"{_name(self.rates[index])} left out: {where} counts (duplicates: {self.policy})"
                )

    def _drop(self, index: int, why: str) -> None:
        self.dropped.add(index)
        self.corrected.setdefault(self.rates[index].mark.line, []).append(why)


def _contradictions(group: Sequence[int], rates: Sequence[Rate]) -> Iterator[tuple[int, int]]:
    for index in group:
        yield index, next(other for other in group if not _alike(rates[index], rates[other]))


def _pick(group: Sequence[int], rates: Sequence[Rate], policy: str) -> int:
    if policy in {"first", "last"}:
        return group[0 if policy == "first" else -1]
    best = max if policy == "highest" else min
    return best(group, key=lambda index: (rates[index].rate, rates[index].connect))


def _alike(one: Rate, other: Rate) -> bool:
    return _terms(one) == _terms(other)


def _terms(rate: Rate) -> tuple[object, ...]:
    return (
        rate.rate, rate.cycle, rate.first_rate, rate.first_seconds, rate.connect, rate.minimum, rate.grace,
        rate.free_seconds, rate.valid_until, rate.blocked,
    )  # fmt: skip


def _against(rate: Rate, other: Rate) -> str:
    said, there = _said(rate), _said(other)
    what = f"says {there} instead of {said}" if said != there else "has other terms"
    return f"line {other.mark.line} {what}"


def _said(rate: Rate) -> str:
    return "blocked" if rate.blocked else f"{rate.rate:f}"


def _name(rate: Rate) -> str:
    return rate.prefix or "the default row"
