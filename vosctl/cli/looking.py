"""What plan and diff share: which risks make them fail, and the traffic that changes of routes are weighed by."""

from __future__ import annotations

import json
from pathlib import Path

import click
from msgspec.structs import replace

from vosctl.cli.options import SiteArguments
from vosctl.errors import UsageError
from vosctl.plan.risk import Level, Risk

FOUND = 5
"""Exit code: a risk that --fail-on names was found."""

_GRAVER = {"any": tuple(Level), "warning": (Level.ERROR, Level.WARNING), "error": (Level.ERROR,)}

fail_on_option = click.option(
    "--fail-on", "fail_on", multiple=True, metavar="RISK", envvar="VOSCTL_FAIL_ON",
    help=f"Exit with {FOUND} where this risk is found: an id, error, warning or any; may be repeated.",
)  # fmt: skip
traffic_option = click.option(
    "--traffic", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV of minutes by prefix (prefix,minutes[,group]), in place of routing.traffic: changes of routes say how many they concern.",
)  # fmt: skip


def failing(words: tuple[str, ...]) -> set[Risk]:
    """Return the risks that the words of --fail-on name; raises UsageError."""
    known = {risk.value: {risk} for risk in Risk}
    known |= {word: {risk for risk in Risk if risk.level in levels} for word, levels in _GRAVER.items()}
    found: set[Risk] = set()
    for word in (part.strip() for words_ in words for part in words_.split(",")):
        if word not in known:
            raise UsageError(f"--fail-on {word}: no such risk", hint=f"there are {', '.join(known)}")
        found |= known[word]
    return found


def with_traffic(site: SiteArguments, traffic: Path | None) -> SiteArguments:
    """Return the arguments with a file of traffic, as the variable ``routing.traffic``."""
    if traffic is None:
        return site
    variable = json.dumps({"routing": {"traffic": str(traffic.absolute())}})
    return replace(site, extra_vars=(*site.extra_vars, variable))
