"""From parsed arguments to a checked site and its desired state, for every command that needs one."""

from __future__ import annotations

from vosctl.cli.options import SiteArguments
from vosctl.cli.screen import errors_to
from vosctl.compile.desired import Desired, Release
from vosctl.compile.site import compile_site
from vosctl.relay.release import build_release
from vosctl.report.problems import print_problems, summarize
from vosctl.site.model import Site
from vosctl.site.problems import Problems
from vosctl.site.read import SiteOptions, read_site


def load_site(arguments: SiteArguments, *, warn: bool = True) -> tuple[Site, Problems]:
    """Read and check the site; raise InputError with all errors, show warnings on standard error."""
    site, problems = read_site(
        SiteOptions(
            playbook=arguments.playbook,
            inventory=arguments.inventory,
            limit=arguments.limit,
            extra_vars=arguments.extra_vars,
        )
    )
    problems.raise_errors()
    if warn and problems.warnings and not arguments.json:
        show_warnings(problems, verbose=arguments.verbose > 0)
    return site, problems


def show_warnings(problems: Problems, *, verbose: bool) -> None:
    """Say how many warnings there are; list them only when asked."""
    console = errors_to()
    if verbose:
        print_problems(console, problems.warnings)
    else:
        console.print(f"{summarize((), problems.warnings)} (-v shows them)", style="yellow")


def load_desired(arguments: SiteArguments) -> tuple[Site, dict[str, Desired]]:
    """Read, check and compile the site."""
    site, _ = load_site(arguments)
    return site, compile_site(site, release=relay_release())


def relay_release() -> Release:
    """Build the relay archive that nodes install."""
    built = build_release()
    return Release(version=built.version, digest=built.digest, archive=built.archive)
