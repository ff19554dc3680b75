"""The command that holds the keys of running relays against the site's: vosctl keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import click
from msgspec.structs import replace

from vosctl.cli.loading import load_site
from vosctl.cli.nodes import push_options, run_on_nodes
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import print_json
from vosctl.errors import UsageError
from vosctl.push import api, trunk_keys
from vosctl.push.result import HostResult, exit_code
from vosctl.report.key_ages import age_tree, words_of
from vosctl.site.model import Encryption, Site, Trunk
from vosctl.site.suggest import did_you_mean

_DISAGREES = 2


@click.command(short_help="Show whether both ends of trunks hold the site's keys.")
@click.option("--trunk", "names", multiple=True, metavar="TRUNK", help="Only this trunk; may be repeated.")
@site_options
@node_options
def keys(site: SiteArguments, nodes: NodeArguments, *, names: tuple[str, ...]) -> int:
    """Ask the relays at both ends of the trunks for their keys, and compare them with the site's.

    Keys are compared by fingerprint and never shown. Exits with 2 where an end holds others.
    """
    checked, _ = load_site(site)
    trunks = _chosen(checked, names)
    ends = tuple(dict.fromkeys(end for trunk in trunks for end in trunk.ends))
    asked = replace(checked, selected=ends)
    salt = trunk_keys.new_salt()
    results = run_on_nodes(
        site, asked, lambda **kw: api.keys_site(asked, salt=salt, options=push_options(site, nodes), **kw)
    )
    wrong = {trunk.name: trunk_keys.disagreements(trunk, results, salt) for trunk in trunks}
    if site.json:
        print_json({trunk.name: _tree(trunk, results, wrong[trunk.name]) for trunk in trunks})
    else:
        for trunk in trunks:
            _show(trunk, results, wrong[trunk.name])
    return exit_code(results) or (_DISAGREES if any(wrong.values()) else 0)


def _chosen(site: Site, names: tuple[str, ...]) -> list[Trunk]:
    """Return the trunks that have keys, those that were named where any were."""
    known = {
        trunk.name: trunk
        for name in site.selected
        for trunk in site.nodes[name].trunks.values()
        if trunk.encryption not in {Encryption.NONE, Encryption.SRTP}
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"no trunk with keys is called {name}{did_you_mean(name, known)}",
                hint=f"there are: {', '.join(known) or 'none'}",
            )
    return [known[name] for name in names or known]


def _held(trunk: Trunk, result: HostResult | None) -> Mapping[str, int]:
    """Return how many calls hold which key at an end."""
    found = {} if result is None else result.report.get("trunks", {}).get(trunk.name, {})
    held: Mapping[str, int] = found.get("calls", {})
    return held


def _tree(trunk: Trunk, results: Mapping[str, HostResult], wrong: list[str]) -> dict[str, object]:
    return {
        "ends": list(trunk.ends),
        "encryption": trunk.encryption.value,
        "key": trunk.key.name if trunk.key else None,
        "accept": [key.name for key in trunk.accept],
        "calls": {end: dict(_held(trunk, results.get(end))) for end in trunk.ends},
        **age_tree(trunk, datetime.now(timezone.utc)),
        "disagreements": wrong,
    }


def _show(trunk: Trunk, results: Mapping[str, HostResult], wrong: list[str]) -> None:
    current = words_of(trunk, datetime.now(timezone.utc))
    others = [key.name for key in trunk.accept if key != trunk.key]
    also = f"; also accepted: {', '.join(others)}" if others else ""
    click.echo(
        f"{trunk.name} ({' - '.join(trunk.ends)}, {trunk.encryption.value}): new calls use {current}{also}"
    )
    for end in trunk.ends:
        held = ", ".join(f"{kid}: {count}" for kid, count in sorted(_held(trunk, results.get(end)).items()))
        click.echo(f"  {end}: calls by key: {held or 'none'}")
    for words in wrong or ["both ends hold the site's keys"]:
        click.echo(f"  {words}")


COMMANDS = (keys,)
