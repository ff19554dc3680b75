"""What the site says of a deck in YAML: the mapping that its file is read with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vosctl.cli.loading import site_options_of
from vosctl.cli.options import SiteArguments
from vosctl.errors import UsageError
from vosctl.site.problems import Problems
from vosctl.site.read import read_inputs
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import plain

MAPPING = (
    "columns", "separator", "encoding", "sheet", "decimal", "date_format", "timezone", "currency", "defaults",
    "per", "dash", "comma", "area", "duplicates",
)  # fmt: skip
"""The keys of a deck that say how its file is read."""


def saved_mapping(site: SiteArguments, name: str) -> Mapping[str, object]:
    """Return the saved mapping of the deck of that name; raise UsageError where the site has none."""
    problems = Problems()
    inputs = read_inputs(site_options_of(site), problems)
    problems.raise_errors()
    known: dict[str, Mapping[str, Any]] = {}
    for host in inputs.selected:
        rates = plain(inputs.variables(host)).get("rates") or {}
        for kind in ("groups", "clearing"):
            known.update((rates.get(kind) or {}).items())
    if name not in known:
        raise UsageError(
            f"the site has no deck '{name}'{did_you_mean(name, known)}",
            hint=f"its decks: {listed(known) or 'none'}",
        )
    return {key: value for key, value in known[name].items() if key in MAPPING and value is not None}
