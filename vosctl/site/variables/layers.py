"""The five layers of variables: packaged defaults, group_vars/all, groups, host, play and command line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from vosctl.errors import VosctlError
from vosctl.site.inventory.load import Inventory
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_file
from vosctl.site.tree import Mapping
from vosctl.site.variables.source import Source

DEFAULTS = Path(__file__).with_name("defaults.yml")
PLAY = "play"
EXTRA = "--extra-vars"


def resolve(
    inventory: Inventory, node: str, play_vars: Sequence[Mapping], extra_vars: Sequence[Mapping]
) -> Mapping:
    """Return the variables of ``node`` with all layers merged: later wins, mappings deeply, null removes.

    Subtrees that only one layer has are that layer's own objects, and nodes with the same layers
    share whatever they merge to. Raises KeyError for a host that the inventory lacks.
    """
    lowest, *rest = layers(inventory, node, play_vars, extra_vars)
    merged = lowest.tree  # the packaged defaults have no nulls to prune
    for source in rest:
        merged = inventory.merger.merge(merged, source.tree)
    return merged


def layers(
    inventory: Inventory, node: str, play_vars: Sequence[Mapping], extra_vars: Sequence[Mapping]
) -> tuple[Source, ...]:
    """Return every source of the node's variables in the order in which they apply."""
    host = inventory.hosts[node]
    groups = [source for name in host.groups for source in inventory.groups[name].sources]
    play = [Source(PLAY, tree) for tree in play_vars]
    extra = [Source(EXTRA, tree) for tree in extra_vars]
    return (Source("defaults", defaults()), *groups, *host.sources, *play, *extra)


@lru_cache(maxsize=1)
def defaults() -> Mapping:
    """Return the packaged defaults."""
    problems = Problems()
    tree = load_file(DEFAULTS, str(DEFAULTS), problems)  # one name, whichever folder one stands in
    if problems.errors or not isinstance(tree, Mapping):
        detail = f": {problems.errors[0]}" if problems.errors else ""
        raise VosctlError(f"the packaged defaults cannot be read{detail}", hint="install vosctl again")
    return tree
