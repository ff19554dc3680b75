"""Reads a playbook: which hosts are to be what the inventory says, with which variables, how many at a time."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.inventory.load import Inventory
from vosctl.site.inventory.patterns import select
from vosctl.site.inventory.rollout import read_rollout
from vosctl.site.problems import Problems
from vosctl.site.rollout import Rollout
from vosctl.site.text.loader import load_file, shown
from vosctl.site.tree import Mapping, Mark, Scalar, Sequence, Value
from vosctl.site.variables.source import Source, variables

_TASKS = frozenset({"tasks", "pre_tasks", "post_tasks", "roles", "handlers"})
_OF_ANSIBLE = frozenset({
    "become", "become_method", "become_user", "connection", "environment", "gather_facts", "import_playbook",
    "remote_user", "strategy", "tags", "vars_files", "vars_prompt",
})  # fmt: skip


class Play(Struct, frozen=True, eq=False):
    """One play. ``hosts`` are patterns; those of ``rollout`` are not filled in: see ``rollouts``."""

    name: str
    hosts: tuple[str, ...]
    source: Source | None
    rollout: Rollout
    mark: Mark
    hosts_mark: Mark


class Playbook(Struct, frozen=True, eq=False):
    """The plays of a file; ``document`` is its tree for the schema ``playbook.json``.

    Keys that only Ansible knows are reported already and are not in the document; plays that the
    schema refuses are not among ``plays``.
    """

    plays: tuple[Play, ...]
    document: Value | None


def load_playbook(path: Path, problems: Problems) -> Playbook:
    """Return the plays of a playbook; whatever is wrong is a problem, left to the schema where it can say it."""
    tree = load_file(path, shown(path), problems)
    if not isinstance(tree, Sequence):
        return Playbook((), tree)
    items = tuple(_without_ansible(item, index, problems) for index, item in enumerate(tree.items))
    plays = tuple(
        play
        for index, item in enumerate(items)
        if isinstance(item, Mapping)
        for play in _plays(item, f"[{index}]", problems)
    )
    return Playbook(plays, Sequence(items, tree.mark))


def targets(playbook: Playbook, inventory: Inventory, problems: Problems) -> dict[str, tuple[Mapping, ...]]:
    """Return the hosts of all plays in inventory order, each with the variables of its plays, later plays last."""
    found: dict[str, list[Mapping]] = {}
    for play in playbook.plays:
        for host in select(inventory, play.hosts, play.hosts_mark, problems):
            found.setdefault(host, []).extend([play.source.tree] if play.source else [])
    return {host: tuple(found[host]) for host in inventory.hosts if host in found}


def rollouts(playbook: Playbook, inventory: Inventory, selected: Listed[str]) -> tuple[Rollout, ...]:
    """Return how each play reaches those of the ``selected`` hosts that no earlier play reaches, in their order.

    A host that several plays name has the variables of all and is changed once, with the first of them.
    """
    left = dict.fromkeys(selected)
    found = []
    for play in playbook.plays:
        named = frozenset(select(inventory, play.hosts, play.hosts_mark, Problems()))
        hosts = tuple(host for host in left if host in named)
        for host in hosts:
            del left[host]
        if hosts:
            found.append(replace(play.rollout, hosts=hosts))
    return tuple(found)


def _plays(play: Mapping, path: str, problems: Problems) -> list[Play]:
    hosts = play.get("hosts")
    patterns = _patterns(hosts)
    source = variables("play", play.get("vars"), problems, inline=True)
    if hosts is None or not patterns:
        return []
    name = play.get("name")
    title = name.text if isinstance(name, Scalar) else ", ".join(patterns)
    return [
        Play(
            name=title,
            hosts=patterns,
            source=source,
            rollout=read_rollout(play, title, path, problems),
            mark=play.mark,
            hosts_mark=hosts.mark,
        )
    ]


def _patterns(hosts: Value | None) -> tuple[str, ...]:
    values = hosts.items if isinstance(hosts, Sequence) else (hosts,)
    return tuple(value.text for value in values if isinstance(value, Scalar) and isinstance(value.value, str))


def _without_ansible(play: Value, index: int, problems: Problems) -> Value:
    if not isinstance(play, Mapping) or not play.items.keys() & (_TASKS | _OF_ANSIBLE):
        return play
    items: dict[str, Value] = {}
    marks: dict[str, Mark] = {}
    for key, item in play.items.items():
        mark = play.key_marks[key]
        if key in _TASKS:
            problems.error("playbook-tasks", f"{key}: a play here has no steps, only hosts and variables", mark,
                           path=f"[{index}].{key}",
                           hint="vosctl makes nodes what the variables say: put files, packages and services there")  # fmt: skip
        elif key in _OF_ANSIBLE:
            problems.error("playbook-ansible", f"{key} is known to Ansible, but not here", mark, path=f"[{index}].{key}",
                           hint=_INSTEAD.get(key, "take it out"))  # fmt: skip
        else:
            items[key], marks[key] = item, mark
    return Mapping(items, marks, play.mark)


_INSTEAD = {
    "become": "write become as a variable of the host or group",
    "become_user": "write become: true as a variable of the host or group: root is meant",
    "connection": "write connection as a variable of the host or group",
    "remote_user": "write user as a variable of the host or group",
    "vars_files": "put the file into group_vars, or give it with -e @file",
    "import_playbook": "put all plays into one file",
}
