"""Host patterns as Ansible reads them: names, groups, globs, ``a:b``, ``!x``, ``&x``, ``~regex``, ``web[0:2]``, ``@file``."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from vosctl.site.inventory.graph import UNGROUPED
from vosctl.site.inventory.load import Inventory
from vosctl.site.problems import Problems
from vosctl.site.suggest import did_you_mean
from vosctl.site.text.loader import read_file, shown
from vosctl.site.tree import Mark

_PART = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_HOST_AND_PORT = re.compile(r"(?:[\w.-]|\[[\w:]+\])+:[0-9]+|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?")
_SUBSCRIPT = re.compile(
    r"(?P<name>.+)\[(?:(?P<index>-?[0-9]{1,9})|(?P<first>[0-9]{1,9})[:-](?P<last>[0-9]{0,9}))\]"
)
_GLOB = frozenset(".?*[")


def split(text: str) -> list[str]:
    """Return the parts of a pattern: at commas or, where there is none, at colons outside of brackets."""
    if "," in text:
        parts = text.split(",")
    elif _is_one_host(text):
        parts = [text]
    else:
        parts = _PART.findall(text)
    return [part.strip() for part in parts if part.strip()]


def select(inventory: Inventory, patterns: Iterable[str], mark: Mark, problems: Problems) -> tuple[str, ...]:
    """Return the hosts that ``patterns`` stand for, each once, in the order of the patterns.

    Parts with ``!`` exclude and those with ``&`` intersect, wherever they stand; only such parts
    begin from all hosts. A part that matches nothing is a warning, one that makes no sense an error.
    """
    parts = [part for pattern in patterns for part in split(pattern)]
    return tuple(_Selection(inventory, mark, problems).evaluate(parts))


def limit(
    inventory: Inventory, selected: Iterable[str], text: str, mark: Mark, problems: Problems
) -> tuple[str, ...]:
    """Return those of ``selected`` that the pattern ``text`` of ``--limit`` leaves, in their order.

    A part ``@file`` stands for the patterns in that file, one a line.
    """
    parts = [part for given in split(text) for part in _from_file(given, problems)]
    kept = frozenset(_Selection(inventory, mark, problems).evaluate(parts))
    return tuple(host for host in selected if host in kept)


def _from_file(part: str, problems: Problems) -> list[str]:
    if not part.startswith("@"):
        return [part]
    path = Path(part[1:])
    text = read_file(path, shown(path), problems)
    if text is None:
        return []
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _is_one_host(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return _HOST_AND_PORT.fullmatch(text) is not None
    return True


class _Selection:
    def __init__(self, inventory: Inventory, mark: Mark, problems: Problems) -> None:
        self._inventory = inventory
        self._mark = mark
        self._problems = problems

    def evaluate(self, parts: list[str]) -> list[str]:
        """Return the hosts: first what is named, then intersections, then exclusions."""
        named = [part for part in parts if part[0] not in "!&"]
        hosts = list(dict.fromkeys(host for part in named or ["all"] for host in self._match(part)))
        for part in (part for part in parts if part[0] == "&"):
            inside = set(self._match(part[1:]))
            hosts = [host for host in hosts if host in inside]
        for part in (part for part in parts if part[0] == "!"):
            outside = set(self._match(part[1:]))
            hosts = [host for host in hosts if host not in outside]
        return hosts

    def _match(self, part: str) -> list[str]:
        name, first, last = _subscript(part)
        try:
            hosts, known = self._enumerate(name)
        except (re.error, OverflowError, RecursionError) as error:
            self._problems.error("pattern-invalid", f"{part} is no regular expression: {error}", self._mark, path=part,
                                 hint="correct the expression behind ~")  # fmt: skip
            return []
        if not known and self._inventory.complete:
            names = [*self._inventory.groups, *self._inventory.hosts]
            guess = did_you_mean(name, [other for other in names if other != UNGROUPED])
            self._problems.warn("pattern-unmatched", f"{name or part} matches no host and no group{guess}", self._mark,
                                path=part, hint="see the names in the inventory with --list-hosts")  # fmt: skip
        if first is None or not hosts:
            return hosts
        chosen = hosts[first : last + 1 or None] if last is not None else _one(hosts, first)
        if not chosen and last is None:
            self._problems.error("pattern-subscript", f"{part} is outside of the {len(hosts)} hosts of {name}",
                                self._mark, path=part, hint="the first host is number 0, the last -1")  # fmt: skip
        return chosen

    def _enumerate(self, name: str) -> tuple[list[str], bool]:
        """Return the hosts of all groups and, for a glob or expression or no group, all hosts that match."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "~[[" may mean something else to a later Python
            expression = re.compile(name[1:] if name.startswith("~") else fnmatch.translate(name))
        groups = [group for group in self._inventory.groups.values() if expression.match(group.name)]
        found = [host for group in groups for host in group.hosts]
        if not groups or name.startswith("~") or _GLOB.intersection(name):
            found += [host for host in self._inventory.hosts if expression.match(host)]
        return list(dict.fromkeys(found)), bool(found or groups)


def _subscript(part: str) -> tuple[str, int | None, int | None]:
    """Return name, first and last of ``web[0:2]``, or name, index and None of ``web[1]``; both ends count."""
    match = None if part.startswith("~") else _SUBSCRIPT.fullmatch(part)
    if match is None:
        return part, None, None
    if match["index"] is not None:
        return match["name"], int(match["index"]), None
    return match["name"], int(match["first"]), int(match["last"]) if match["last"] else -1


def _one(hosts: list[str], index: int) -> list[str]:
    return [hosts[index]] if -len(hosts) <= index < len(hosts) else []
