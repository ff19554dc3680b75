"""vosctl rates routes: which vendors carry a number, in order, and who is locked and why."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.parameters import MOMENT, NUMBER
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError, VosctlError
from vosctl.site.suggest import did_you_mean, listed


@click.command("routes", short_help="Which vendors carry a number, in order; who is locked and why.")
@click.argument("number", type=NUMBER)
@click.option("--from", "group", metavar="GROUP", help="A rate group [default: each that a node has].")
@click.option(
    "--at", "when", type=MOMENT, help="When the call begins, UTC unless it says otherwise [default: now]."
)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Ask a compiled route file, as a node has it, and not the site.",
)
@site_options
def routes_command(
    site: SiteArguments, *, number: str, group: str | None, when: datetime | None, file: Path | None
) -> int:
    """Say which vendors would be tried for a call to NUMBER, with cost and margin, and why others are not.

    Exit code 1 where a group that sells the number has no vendor for it, or none sells it.
    """
    from vosctl.rates.ways import from_file, from_site  # noqa: PLC0415  not for the help
    from vosctl.report.rates.routes import as_json, screen  # noqa: PLC0415

    moment = when or datetime.now(timezone.utc)
    if file is not None:
        found = from_file(_read(file), file.name, number, moment)
    else:
        checked, _ = load_site(site, warn=False)
        found = from_site(checked, number, moment)
    known = sorted({way.group for way in found})
    if group is not None and group not in known:
        hint = f"rate groups: {listed(known) or 'none'}"
        raise UsageError(f"no rate group is named '{group}'{did_you_mean(group, known)}", hint=hint)
    chosen = [way for way in found if group in (None, way.group)]
    sold = [way for way in chosen if way.rate is not None]
    if site.json:
        print_json({"number": number, "at": moment.isoformat(), "routes": [as_json(way) for way in chosen]})
    else:
        output().print(screen(number, moment, sold or chosen))
    return 0 if sold and all(way.usable for way in sold) else 1


def _read(file: Path) -> bytes:
    from vosctl.rates.routing.reader import RouteFile, RouteFileError  # noqa: PLC0415

    content = file.read_bytes()
    try:
        RouteFile(content).verify()
    except RouteFileError as error:
        raise VosctlError(f"{file}: {error}", hint="it is what vosctl compile writes as routes.bin") from None
    return content


COMMANDS = (routes_command,)
