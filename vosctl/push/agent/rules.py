"""Own chains and the hooks that lead into them, as text: cut out of a save, turned into restore input."""

from __future__ import annotations

import re

from vosctl.push.agent.wanted import CHAIN_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_TARGET = re.compile(r"\s(?:-j|-g)\s(" + CHAIN_PREFIX + r"\S+)")
_BUILT_IN = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")


class Hook:
    """A rule in somebody else's chain that leads into an own one: ``-I parent index rule``."""

    __slots__ = ("index", "parent", "rule")

    def __init__(self, parent: str, index: int, rule: str) -> None:
        self.parent = parent
        self.index = index
        self.rule = rule


class Table:
    """What is vosctl's in one table; ``sizes`` counts the other rules of the chains with hooks."""

    __slots__ = ("chains", "hooks", "rules", "sizes")

    def __init__(self) -> None:
        self.chains: list[str] = []
        self.rules: list[str] = []
        self.hooks: list[Hook] = []
        self.sizes: dict[str, int] = {}


Tables = dict[str, Table]


def parse(text: str) -> Tables:
    """Return the own part of a save, of restore input or of ``render``'s text, by table."""
    tables: Tables = {}
    table = Table()
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), Table())
        elif line.startswith(":"):
            _add_chain(table, line)
        elif line.startswith("-A "):
            _add_rule(table, line)
        elif line.startswith("-I "):
            _, parent, index, rule = line.split(" ", 3)
            table.hooks.append(Hook(parent, int(index), rule))
    return {name: found for name, found in tables.items() if found.chains or found.hooks}


def _add_chain(table: Table, line: str) -> None:
    name = line[1:].split(" ", 1)[0]
    if name.startswith(CHAIN_PREFIX):
        table.chains.append(name)


def _add_rule(table: Table, line: str) -> None:
    _, chain, rule = line.split(" ", 2)
    if chain.startswith(CHAIN_PREFIX):
        table.rules.append(line)
        return
    table.sizes[chain] = table.sizes.get(chain, 0) + 1
    if _TARGET.search(" " + rule):
        table.hooks.append(Hook(chain, table.sizes[chain], rule))


def render(tables: Tables) -> str:
    """Return the own part as text that two moments can be compared by: no counters, hooks with their place."""
    lines = []
    for name in sorted(tables):
        table = tables[name]
        lines.append(f"*{name}")
        lines += [f":{chain} - [0:0]" for chain in sorted(table.chains)]
        lines += [f"-I {hook.parent} {hook.index} {hook.rule}" for hook in table.hooks]
        lines += table.rules
        lines.append("COMMIT")
    return "".join(line + "\n" for line in lines)


def wanted_tables(text: str, hooks: Iterable[Iterable[str]]) -> Tables:
    """Return the tables of a wanted ruleset with its hooks, first in their parents and in their order."""
    tables = parse(text)
    for table_name, parent, chain in hooks:
        table = tables.setdefault(table_name, Table())
        place = 1 + sum(hook.parent == parent for hook in table.hooks)
        table.hooks.append(Hook(parent, place, f"-j {chain}"))
    return tables


def compose(target: Tables, current: Tables) -> str:
    """Return restore input (``--noflush``) that turns the own part from ``current`` to ``target``.

    One transaction a table: old hooks out, every own chain rewritten, hooks in, stale chains removed.
    What is not vosctl's is not mentioned.
    """
    lines: list[str] = []
    for name in [*target, *(name for name in current if name not in target)]:
        lines += [
            f"*{name}",
            *_compose_table(target.get(name, Table()), current.get(name, Table())),
            "COMMIT",
        ]
    return "".join(line + "\n" for line in lines)


def _compose_table(target: Table, current: Table) -> list[str]:
    stale = [chain for chain in current.chains if chain not in target.chains]
    lines = [f":{chain} - [0:0]" for chain in (*target.chains, *stale)]
    lines += [f"-D {hook.parent} {hook.rule}" for hook in current.hooks]
    lines += target.rules
    sizes = dict(current.sizes)
    for hook in current.hooks:
        sizes[hook.parent] -= 1
    for hook in sorted(target.hooks, key=lambda hook: hook.index):
        sizes[hook.parent] = sizes.get(hook.parent, 0) + 1
        lines.append(f"-I {hook.parent} {min(hook.index, sizes[hook.parent])} {hook.rule}")
    return lines + [f"-X {chain}" for chain in stale]


def rehearsal(target: Tables) -> str:
    """Return restore input for an empty network namespace: like ``compose``, with parents of others made up."""
    lines: list[str] = []
    for name, table in target.items():
        foreign = dict.fromkeys(hook.parent for hook in table.hooks if hook.parent not in _BUILT_IN)
        body = _compose_table(table, Table())
        lines += [f"*{name}", *(f":{parent} - [0:0]" for parent in foreign), *body, "COMMIT"]
    return "".join(line + "\n" for line in lines)


def rename_sets(tables: Tables, names: dict[str, str]) -> Tables:
    """Return the tables with the sets in their rules renamed."""
    renamed = {}
    for name, table in tables.items():
        copy = renamed[name] = Table()
        copy.chains, copy.hooks, copy.sizes = table.chains, table.hooks, table.sizes
        copy.rules = [" ".join(names.get(word, word) for word in rule.split(" ")) for rule in table.rules]
    return renamed


def set_names(tables: Tables) -> set[str]:
    """Return the names of the sets that the rules ask for."""
    words = re.compile(r"--(?:match-set|add-set|del-set|map-set) (\S+)")
    return {name for table in tables.values() for rule in table.rules for name in words.findall(rule)}


def chains(tables: Tables) -> list[str]:
    """Return the names of the own chains, sorted."""
    return sorted({chain for table in tables.values() for chain in table.chains})


def foreign_rules(text: str) -> bool:
    """Return whether a save holds anything: a rule, a chain that is not built in, a policy but ACCEPT."""
    for line in text.splitlines():
        if line.startswith("-A ") or (line.startswith(":") and line.split()[1] != "ACCEPT"):
            return True
    return False
