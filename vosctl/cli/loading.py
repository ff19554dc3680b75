"""From parsed arguments to a checked site and its desired state, for every command that needs one."""

from __future__ import annotations

from collections.abc import Mapping

from vosctl.cli.options import SiteArguments
from vosctl.cli.proving import prove
from vosctl.cli.screen import errors_to
from vosctl.compile.desired import Desired, Release
from vosctl.compile.site import compile_site
from vosctl.errors import UsageError
from vosctl.push.journal import Journal
from vosctl.relay.release import build_release
from vosctl.report.problems import print_problems, summarize
from vosctl.site.inventory.patterns import split
from vosctl.site.model import Site
from vosctl.site.problems import Problems
from vosctl.site.read import Inputs, SiteOptions, read_inputs, read_site, site_folder
from vosctl.site.suggest import did_you_mean
from vosctl.site.variables.explain import Layer, explain
from vosctl.site.written import Places
from vosctl.vault.keys import at_hand
from vosctl.vault.seen import check_versions


def load_site(arguments: SiteArguments, *, warn: bool = True) -> tuple[Site, Problems]:
    """Read and check the site; raise InputError with all errors, show warnings on standard error."""
    options = site_options_of(arguments)
    at_hand().versions.clear()
    site, problems = read_site(options)
    problems.raise_errors()
    check_versions(site_folder(options), at_hand().versions)
    if warn and problems.warnings and not arguments.json:
        show_warnings(problems, verbose=arguments.verbose > 0)
    return site, problems


def site_options_of(arguments: SiteArguments) -> SiteOptions:
    """Return the arguments in the words of vosctl.site."""
    return SiteOptions(
        playbook=arguments.playbook,
        inventory=arguments.inventory,
        limit=with_failed(arguments),
        extra_vars=arguments.extra_vars,
    )


FAILED = "@failed"


def with_failed(arguments: SiteArguments) -> str | None:
    """Return the limit with the nodes that the last apply did not bring to the end in place of ``@failed``."""
    parts = split(arguments.limit or "")
    if FAILED not in parts:
        return arguments.limit
    run = runs_of(arguments).last()
    if run is None:
        raise UsageError(
            f"--limit {FAILED}: there was no apply here yet", hint="runs are kept in .vosctl/runs"
        )
    if not run.left:
        raise UsageError(f"--limit {FAILED}: no node is left of the last apply, at {run.started}")
    return ",".join(name for part in parts for name in (run.left if part == FAILED else (part,)))


def runs_of(arguments: SiteArguments) -> Journal:
    """Return the journal of the runs of the site that is meant."""
    return Journal(site_folder(SiteOptions(playbook=arguments.playbook, inventory=arguments.inventory)))


def explain_variable(options: SiteOptions, node: str, path: str) -> list[Layer]:
    """Return what each layer says of a node's variable; raise InputError where the files cannot be read."""
    inputs = load_inputs(options, node)
    return explain(inputs.inventory, node, inputs.play_vars.get(node, ()), inputs.extra_vars, path)


def load_inputs(options: SiteOptions, node: str) -> Inputs:
    """Return what was read of a site that has ``node``; raise InputError where the files cannot be read."""
    problems = Problems()
    inputs = read_inputs(options, problems)
    problems.raise_errors()
    if node not in inputs.inventory.hosts:
        near = did_you_mean(node, inputs.inventory.hosts)
        raise UsageError(
            f"no host {node!r} in the inventory{near}", hint="vosctl plan --list-hosts shows them"
        )
    return inputs


def show_warnings(problems: Problems, *, verbose: bool) -> None:
    """Say how many warnings there are; list them only when asked."""
    console = errors_to()
    if verbose:
        print_problems(console, problems.warnings)
    else:
        console.print(f"{summarize((), problems.warnings)} (-v shows them)", style="yellow")


def load_desired(arguments: SiteArguments) -> tuple[Site, dict[str, Desired]]:
    """Read, check and compile the site; raise InputError where a packet filter fails what the site asks of it."""
    site, desired = load_compiled(arguments)
    prove_compiled(arguments, site, desired)
    return site, desired


def load_compiled(arguments: SiteArguments) -> tuple[Site, dict[str, Desired]]:
    """Read, check and compile the site; nobody may be given the result before ``prove_compiled``."""
    site, _ = load_site(arguments)
    relays = any(site.nodes[name].relay.enabled for name in site.selected)
    return site, compile_site(site, release=relay_release() if relays else None)


def prove_compiled(arguments: SiteArguments, site: Site, desired: Mapping[str, Desired]) -> None:
    """Hold the packet filters against what the site asks of them; raise InputError where one fails, show warnings."""
    problems = prove(site, desired, Places(site_options_of(arguments)))
    problems.raise_errors()
    if problems.warnings and not arguments.json:
        print_problems(errors_to(), problems.warnings)


def relay_release() -> Release:
    """Build the relay archive that nodes install."""
    built = build_release()
    return Release(version=built.version, digest=built.digest, archive=built.archive)
