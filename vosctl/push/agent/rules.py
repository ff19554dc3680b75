"""Own chains and the hooks that lead into them, as text: cut out of a save, turned into restore input."""

from __future__ import annotations

import re

from vosctl.push.agent import shapes
from vosctl.push.agent.wanted import CHAIN_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_TARGET = re.compile(r"\s(?:-j|-g)\s(" + CHAIN_PREFIX + r"\S+)")
_BUILT_IN = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")


class Hook:
    """A rule in somebody else's chain that leads into an own one: ``-I parent index rule``."""

    __slots__ = ("index", "parent", "rule")

    def __init__(self, parent: str, index: int, rule: str) -> None:
        self.parent = parent
        self.index = index
        self.rule = rule

    def words(self) -> tuple[str, int, str]:
        """Return what makes it the same as another."""
        return self.parent, self.index, self.rule


class Table:
    """What is vosctl's in one table; ``sizes`` counts the other rules of the chains with hooks."""

    __slots__ = ("_held", "_shapes", "chains", "hooks", "rules", "sizes")

    def __init__(self) -> None:
        self.chains: list[str] = []
        self.rules: list[str] = []
        self.hooks: list[Hook] = []
        self.sizes: dict[str, int] = {}
        self._held: set[str] = set()
        self._shapes: set[str] = set()

    def tells_of(self, rule: str) -> bool:
        """Return whether a kernel that took this table takes the rule, and shows it as it is written if it did so here.

        The table must be whole by now.
        """
        self._held = self._held or set(self.rules)
        if rule in self._held:
            return True
        self._shapes = self._shapes or set(map(shapes.loaded, self.rules))
        return shapes.wanted(rule) in self._shapes

    def record(self) -> tuple[Any, ...]:
        """Return it in plain types, for ``of``."""
        return self.chains, self.rules, [hook.words() for hook in self.hooks], self.sizes

    @classmethod
    def of(cls, record: tuple[Any, ...]) -> Table:
        """Return the table of a record."""
        table = cls()
        table.chains, table.rules, hooks, table.sizes = record
        table.hooks = [Hook(*words) for words in hooks]
        return table


Tables = dict[str, Table]
# By table and chain its rules as a save will have them, None where nobody knows.
Replaced = dict[str, dict[str, "list[str] | None"]]


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


def bodies(table: Table) -> dict[str, list[str]]:
    """Return the rules of each own chain, in the chains' order."""
    found: dict[str, list[str]] = {chain: [] for chain in table.chains}
    for rule in table.rules:
        found.setdefault(rule.split(" ", 2)[1], []).append(rule)
    return found


def _kept(target: Table, base: Table | None) -> set[str]:
    """Return the chains that have the same rules in both."""
    if base is None:
        return set()
    old = bodies(base)
    return {chain for chain, found in bodies(target).items() if old.get(chain) == found}


def _same_hooks(target: Table, base: Table | None) -> bool:
    return base is not None and list(map(Hook.words, target.hooks)) == list(map(Hook.words, base.hooks))


def compose(target: Tables, current: Tables, base: Tables | None = None) -> str:
    """Return restore input (``--noflush``) that turns the own part from ``current`` to ``target``.

    One transaction a table: old hooks out, own chains rewritten, hooks in, stale chains removed.
    What is not vosctl's is not mentioned. ``base`` is what ``current`` was loaded from: chains and hooks
    that are the same in it stay as they are, with their counters, and "" is where everything is.
    """
    lines: list[str] = []
    for name in [*target, *(name for name in current if name not in target)]:
        old = None if base is None else base.get(name, Table())
        body = _compose_table(target.get(name, Table()), current.get(name, Table()), old)
        if body or base is None:
            lines += [f"*{name}", *body, "COMMIT"]
    return "".join(line + "\n" for line in lines)


def _compose_table(target: Table, current: Table, base: Table | None = None) -> list[str]:
    kept = _kept(target, base)
    stale = [chain for chain in current.chains if chain not in target.chains]
    lines = [f":{chain} - [0:0]" for chain in (*target.chains, *stale) if chain not in kept]
    hooked = _same_hooks(target, base)
    if not hooked:
        lines += [f"-D {hook.parent} {hook.rule}" for hook in current.hooks]
    lines += [rule for chain, found in bodies(target).items() if chain not in kept for rule in found]
    if not hooked:
        lines += _hooks_in(target, current)
    return lines + [f"-X {chain}" for chain in stale]


def _hooks_in(target: Table, current: Table) -> list[str]:
    sizes = dict(current.sizes)
    for hook in current.hooks:
        sizes[hook.parent] -= 1
    lines = []
    for hook in sorted(target.hooks, key=lambda hook: hook.index):
        sizes[hook.parent] = sizes.get(hook.parent, 0) + 1
        lines.append(f"-I {hook.parent} {min(hook.index, sizes[hook.parent])} {hook.rule}")
    return lines


def replaced(target: Tables, current: Tables, base: Tables | None) -> Replaced | None:
    """Return by table the chains whose rules ``compose`` replaces; None where it does more than that.

    With each chain the rules as a save will have them, None where only the kernel can tell.
    """
    found: Replaced = {}
    if base is None or set(target) != set(current):
        return None
    for name, table in target.items():
        old = base.get(name)
        if not _same_hooks(table, old) or set(table.chains) != set(current[name].chains):
            return None
        kept = _kept(table, old)
        if old is not None and len(kept) < len(table.chains):
            new, then, now = bodies(table), bodies(old), bodies(current[name])
            found[name] = {
                chain: new[chain]
                if then.get(chain) == now[chain] and all(map(old.tells_of, new[chain]))
                else None
                for chain in table.chains
                if chain not in kept
            }
    return found


def rehearsal(target: Tables, base: Tables | None = None) -> str:
    """Return restore input for an empty network namespace: like ``compose``, with parents of others made up.

    With ``base``, what the kernel holds already: only the rules that it has not taken yet (``shapes``), in all their
    chains, and "" where there is none. A jump between chains that had none can put old rules where they are refused:
    then all rules.
    """
    if base is not None and not any(
        _leads_elsewhere(table, base.get(name, Table())) for name, table in target.items()
    ):
        target = {
            name: short for name, table in target.items() if (short := _news(table, base.get(name, Table())))
        }
    lines: list[str] = []
    for name, table in target.items():
        foreign = dict.fromkeys(hook.parent for hook in table.hooks if hook.parent not in _BUILT_IN)
        body = _compose_table(table, Table())
        lines += [f"*{name}", *(f":{parent} - [0:0]" for parent in foreign), *body, "COMMIT"]
    return "".join(line + "\n" for line in lines)


def _jump(rule: str) -> tuple[str, str] | None:
    """Return which chain a rule leads from and to which own one, None where to none."""
    found = _TARGET.search(rule)
    return (rule.split(" ", 2)[1], found.group(1)) if found else None


def _leads_elsewhere(table: Table, base: Table) -> bool:
    """Return whether rules or hooks lead from a chain to an own one as none of ``base`` does."""
    hooks = {(hook.parent, hook.rule) for hook in base.hooks}
    if any((hook.parent, hook.rule) not in hooks for hook in table.hooks):
        return True
    known = set(base.rules)
    jumps = {_jump(rule) for rule in table.rules if rule not in known}
    return not all(jump is None or _has(base, jump) for jump in jumps)


def _has(base: Table, jump: tuple[str, str]) -> bool:
    return any(jump[1] in rule and _jump(rule) == jump for rule in base.rules)


def _news(table: Table, base: Table) -> Table | None:
    """Return the table with all its chains, one rule for each of its jumps, and the rules that are new to ``base``.

    None where none is.
    """
    news = {rule for rule in table.rules if not base.tells_of(rule)}
    if not news:
        return None
    short = Table()
    seen: set[tuple[str, str] | None] = {None}
    short.chains, short.hooks, short.sizes = table.chains, table.hooks, table.sizes
    for rule in table.rules:
        jump = _jump(rule)
        if rule in news or jump not in seen:
            short.rules.append(rule)
        seen.add(jump)
    return short


def rename_sets(tables: Tables, names: dict[str, str]) -> Tables:
    """Return the tables with the sets in their rules renamed."""
    renamed = {}
    for name, table in tables.items():
        copy = renamed[name] = Table()
        copy.chains, copy.hooks, copy.sizes = table.chains, table.hooks, table.sizes
        copy.rules = [" ".join(names.get(word, word) for word in rule.split(" ")) for rule in table.rules]
    return renamed


def set_names(text: str) -> set[str]:
    """Return the names of the sets that the rules in restore input ask for."""
    return set(re.findall(r"--(?:match-set|add-set|del-set|map-set) (\S+)", text))


def chains(tables: Tables) -> list[str]:
    """Return the names of the own chains, sorted."""
    return sorted({chain for table in tables.values() for chain in table.chains})


def foreign_rules(text: str) -> bool:
    """Return whether a save holds anything: a rule, a chain that is not built in, a policy but ACCEPT."""
    for line in text.splitlines():
        if line.startswith("-A ") or (line.startswith(":") and line.split()[1] != "ACCEPT"):
            return True
    return False
