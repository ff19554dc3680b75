"""CDR files on the command line: which they are, how they are written, and the calls that are in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from msgspec import Struct

from vosctl.cli.screen import errors_to
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.site.decks import Rates
    from vosctl.site.model import Site

_SHOWN = 3


class Zone(click.ParamType[str]):
    """A time zone by its IANA name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        try:
            return ZoneInfo(str(value)).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"no time zone is named '{value}'; write an IANA name, as Europe/London", param, ctx)


ZONE = Zone()


cdr_option = click.option(
    "--mapping", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="YAML that says which column of the CDRs is what; the usual headings are found by themselves.",
)  # fmt: skip


class Opened(Struct, frozen=True):
    """Calls in a database of their own, with the rates that they are priced by."""

    connection: Any
    query: str
    rates: Rates


@contextmanager
def open_calls(site: Site, patterns: tuple[str, ...], mapping: Path | None) -> Iterator[Opened]:
    """Read the files; say which rows are no calls. UsageError where none is."""
    from vosctl.rates.cdr.mapping import read_mapping  # noqa: PLC0415  not for the help
    from vosctl.rates.cdr.parties import filled, parties, rates_of  # noqa: PLC0415
    from vosctl.rates.cdr.reading import TABLE, connect, files_of, read_calls  # noqa: PLC0415

    files = files_of(patterns)
    with TemporaryDirectory(prefix="vosctl-calls-") as folder, connect(Path(folder)) as connection:
        loaded = read_calls(connection, files, read_mapping(mapping) if mapping else None)
        if loaded.refused:
            first = "; ".join(map(str, loaded.examples[:_SHOWN]))
            total = loaded.refused + loaded.calls
            errors_to().print(
                f"{loaded.refused:,} of {total:,} rows are no calls and left out: {first}", style="yellow"
            )
        if not loaded.calls:
            raise UsageError(
                f"{files[0]} holds no call", hint="a mapping says which column is what: --mapping FILE"
            )
        yield Opened(connection, filled(f"from {TABLE}", parties(site)), rates_of(site))


def left_out(note: str) -> None:
    """Say what the amounts that follow do not hold."""
    errors_to().print(note, style="yellow")
