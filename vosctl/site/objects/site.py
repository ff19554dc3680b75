"""Builds the Site from each node's merged variables: nodes, and the trunks that join them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.inventory.load import Inventory
from vosctl.site.model import Key, Node, Site, Trunk
from vosctl.site.objects.fields import Fields, Workshop
from vosctl.site.objects.keys import KeyFacts, build_key
from vosctl.site.objects.node import build_node
from vosctl.site.objects.scalars import parse_duration
from vosctl.site.objects.trunks import build_trunk
from vosctl.site.problems import Problems
from vosctl.site.tree import Mapping as Tree
from vosctl.site.tree import Mark, plain


class Built(Struct, frozen=True):
    """A site and what the cross checks need beside it.

    ``fields`` are the merged variables of each node, ``trunk_fields`` those of each trunk, and
    ``key_facts`` what is known of every key's value, by key.
    """

    site: Site
    fields: Mapping[str, Fields]
    trunks: Mapping[str, Trunk]
    trunk_fields: Mapping[str, Fields]
    keys: tuple[Key, ...]
    key_facts: Mapping[Key, KeyFacts]


KeyTable = Mapping[str, "tuple[Key, KeyFacts] | None"]

_POLICY = "max_age"  # stands among the keys and is none


def build_site(
    inventory: Inventory,
    variables: Mapping[str, Tree],
    *,
    selected: Sequence[str],
    folder: Path,
    problems: Problems,
) -> Built:
    """Return the site of all hosts of the inventory; what cannot be built is a problem.

    ``variables`` are the merged variables by host; ``folder`` is where template and source paths start.
    """
    shop = Workshop(problems, folder)
    fields = {name: shop.fields(tree, "") for name, tree in variables.items()}
    keys = {name: _keys(node, shop) for name, node in fields.items()}
    written = _written_trunks(fields, problems)
    trunks: dict[str, Trunk] = {}
    for name, (entry, mark, writer) in written.items():
        known = _keys_of(name, (writer, *entry.texts("ends")), keys, problems)
        trunk = build_trunk(name, entry, mark, known)
        if trunk is not None:
            trunks[name] = replace(trunk, max_age=_max_age(trunk, fields))
    nodes: dict[str, Node] = {}
    for name, host in inventory.hosts.items():
        own = {trunk.name: trunk for trunk in trunks.values() if name in trunk.ends}
        nodes[name] = build_node(name, host.groups, host.mark, fields=fields[name], trunks=own, shop=shop)
    facts = dict(_every_key(keys.values()))
    return Built(
        site=Site(folder, nodes, tuple(selected)),
        fields=fields,
        trunks=trunks,
        trunk_fields={name: entry for name, (entry, _, _) in written.items()},
        keys=tuple(facts),
        key_facts=facts,
    )


def _max_age(trunk: Trunk, fields: Mapping[str, Fields]) -> timedelta | None:
    """Return how old the trunk's keys may be: the shorter word of its two ends, None where neither says."""
    tables = [fields[end].below("keys") for end in trunk.ends if end in fields]
    ages = [age for table in tables if (age := table.parsed(_POLICY, parse_duration)) is not None]
    return min(ages, default=None)


def _keys(node: Fields, shop: Workshop) -> KeyTable:
    table = node.below("keys")
    return shop.once("keys", (table.tree,), lambda: _key_table(table, shop))


def _key_table(table: Fields, shop: Workshop) -> KeyTable:
    built: dict[str, tuple[Key, KeyFacts] | None] = dict.fromkeys(table.tree.items)
    built.pop(_POLICY, None)
    for name, entry in table.entries():
        built[name] = _one_key(name, entry, table.tree.key_marks.get(name, entry.tree.mark), shop)
    return built


def _one_key(name: str, entry: Fields, mark: Mark, shop: Workshop) -> tuple[Key, KeyFacts] | None:
    return shop.once(f"key {name}", (entry.tree,), lambda: build_key(name, entry, mark))


def _written_trunks(
    fields: Mapping[str, Fields], problems: Problems
) -> Mapping[str, tuple[Fields, Mark, str]]:
    """Return each trunk's variables, the place of its name and a node that has it; all nodes must agree."""
    written: dict[str, tuple[Fields, Mark, str]] = {}
    for node, variables in fields.items():
        table = variables.below("trunks")
        for name, entry in table.entries():
            mark = table.tree.key_marks.get(name, entry.tree.mark)
            known = written.setdefault(name, (entry, mark, node))
            if known[0].tree is entry.tree or plain(known[0].tree) == plain(entry.tree):
                continue
            message = f"trunk '{name}' is written differently for {known[2]} ({known[1]}) and {node}"
            hint = "a trunk is one object for both ends: write it once, in group_vars/all"
            problems.error("trunk-differs", message, mark, path=entry.path, hint=hint)
    return written


def _keys_of(
    trunk: str, nodes: Iterable[str], keys: Mapping[str, KeyTable], problems: Problems
) -> Mapping[str, Key | None]:
    """Return every key that an end of the trunk, or the node it is written for, knows."""
    found: dict[str, Key | None] = {}
    seen: set[int] = set()
    for node in dict.fromkeys(nodes):
        table = keys.get(node, {})
        if id(table) in seen:
            continue
        seen.add(id(table))
        for name, entry in table.items():
            key = entry[0] if entry else None
            known = found.setdefault(name, key)
            if known is not None and key is not None and known.value != key.value:
                message = f"the key '{name}' is not the same at both ends of trunk '{trunk}'"
                hint = f"the other value stands at {known.mark}; write it once, in group_vars/all"
                problems.error("key-differs", message, key.mark, path=f"keys.{name}.value", hint=hint)
    return found


def _every_key(tables: Iterable[KeyTable]) -> Iterable[tuple[Key, KeyFacts]]:
    for table in {id(table): table for table in tables}.values():
        yield from (entry for entry in table.values() if entry is not None)
