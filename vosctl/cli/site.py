"""Commands that need no node: validate, compile, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from vosctl.cli.loading import explain_variable, load_desired, load_site, site_options_of
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.proving import prove
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.compile.desired import Desired
from vosctl.compile.losses import sold_at_a_loss
from vosctl.compile.output import write
from vosctl.compile.site import compile_site
from vosctl.report.layers import as_json as layers_as_json
from vosctl.report.layers import print_layers
from vosctl.report.problems import as_json, print_problems, summarize
from vosctl.site.clock import now
from vosctl.site.model import Site
from vosctl.site.written import Places


@click.command(short_help="Say all that is wrong with the site.")
@site_options
def validate(site: SiteArguments) -> int:
    """Check the site and say all that is wrong with it, at once; then try its firewall's tests on what it compiles to."""
    checked, problems = load_site(site, warn=False)
    places = Places(site_options_of(site))
    proven = prove(checked, compile_site(checked, release=None), places, analyse=True)
    problems.found.extend((*proven.found, *sold_at_a_loss(checked, now()).found))
    problems.raise_errors()
    if site.json:
        print_json({"ok": True, "nodes": list(checked.selected), "problems": as_json(problems.warnings)})
        return 0
    print_problems(errors_to(), problems.warnings)
    output().print(f"{_counts(checked)}: {summarize((), problems.warnings)}")
    return 0


@click.command("compile", short_help="Write what each node would get.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), envvar="VOSCTL_OUT",
              help="Write what each node would get into this folder, a folder a node.")  # fmt: skip
@click.option("--reveal-secrets", is_flag=True,
              help="Write secrets as they are (files get mode 0600); otherwise a fingerprint.")  # fmt: skip
@site_options
def compile_command(site: SiteArguments, *, out: Path | None, reveal_secrets: bool) -> int:
    """Compile the site: firewall, sysctls, relay configuration and routes of each node."""
    _, desired = load_desired(site)
    if out is not None:
        for node in desired.values():
            write(node, out, reveal_secrets=reveal_secrets)
    if site.json:
        print_json({name: _inventory(node) for name, node in desired.items()})
        return 0
    console = output()
    for name, node in desired.items():
        console.print(f"{name}: {_contents(node)}")
    if out is not None:
        console.print(f"written to {out}")
    return 0


@click.command(short_help="Show where a value comes from.")
@click.argument("node")
@click.argument("path")
@site_options
def explain(site: SiteArguments, *, node: str, path: str) -> int:
    """Show where NODE's value at PATH (as in media.jitter) comes from: each layer with file and line."""
    layers = explain_variable(site_options_of(site), node, path)
    if site.json:
        print_json(layers_as_json(layers))
    else:
        print_layers(output(), layers, path)
    return 0


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script for SHELL: eval "$(vosctl completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "vosctl", "_VOSCTL_COMPLETE").source())
    return 0


def _counts(site: Site) -> str:
    nodes = [site.nodes[name] for name in site.selected]
    gateways = {name for node in nodes for name in node.gateways}
    trunks = {name for node in nodes for name in node.trunks}
    return f"{len(nodes)} nodes, {len(gateways)} gateways, {len(trunks)} trunks"


def _contents(node: Desired) -> str:
    members = sum(len(ipset.members) for ipset in node.sets)
    rules = sum(ruleset.text.count("\n-A ") for ruleset in node.rulesets)
    return (
        f"{len(node.files)} files, {rules} firewall rules, {members} addresses in {len(node.sets)} sets, "
        f"{len(node.sysctls)} sysctls, {len(node.services)} services"
    )


def _inventory(node: Desired) -> dict[str, Any]:
    return {
        "packages": list(node.packages),
        "release": node.release.version if node.release else None,
        "files": {f.path: {"mode": f"{f.mode:04o}", "secret": f.secret} for f in node.files},
        "sets": {s.name: {"type": s.type, "family": s.family, "members": len(s.members)} for s in node.sets},
        "rulesets": {str(r.family): {"digest": r.digest} for r in node.rulesets},
        "sysctls": {s.key: s.value for s in node.sysctls},
        "services": {s.name: s.state for s in node.services},
    }


COMMANDS = (validate, compile_command, explain, completion)
