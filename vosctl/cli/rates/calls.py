"""CDR files on the command line: which they are, how they are written, and the calls that are in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from vosctl.cli.screen import errors_to
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.rates.cdr.mapping import CdrFormat
    from vosctl.site.decks import Rates
    from vosctl.site.model import Site

Function = TypeVar("Function", bound=Callable[..., Any])


class _Column(click.ParamType[tuple[str, str]]):
    name = "name=heading"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return our name and the file's heading."""
        if isinstance(value, tuple):
            return value
        name, sign, heading = str(value).partition("=")
        if not sign or not heading.strip():
            self.fail(f"'{value}' is not NAME=HEADING, as callee='Called number'", param, ctx)
        return name.strip(), heading.strip()


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


@dataclass(frozen=True, slots=True)
class Written:
    """How the files are written."""

    columns: tuple[tuple[str, str], ...]
    zone: str
    time_format: str
    separator: str

    def format(self) -> CdrFormat:
        """Return what the reader takes."""
        from vosctl.rates.cdr.mapping import CdrFormat  # noqa: PLC0415  not for the help

        return CdrFormat(dict(self.columns), self.zone, self.time_format, self.separator)


def cdr_options(function: Function) -> Function:
    """Add the options that say how CDR files are written: ``columns``, ``cdr_zone``, ``time_format``, ``separator``."""
    options = (
        click.option("--column", "columns", multiple=True, type=_Column(),
                     help="The heading of a column, where it is not found: callee='Called number'."),
        click.option("--cdr-zone", default="UTC", show_default=True, type=ZONE,
                     help="The time zone of times that say none."),
        click.option("--time-format", default="", metavar="FORMAT", help="How times are written, as %d.%m.%Y %H:%M:%S."),
        click.option("--separator", default="", metavar="CHAR", help="What separates CSV's columns [default: found out]."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Opened:
    """Calls in a database of their own, with the rates that they are priced by."""

    connection: Any
    query: str
    rates: Rates


def open_calls(site: Site, files: tuple[Path, ...], how: Written) -> Opened:
    """Read the files; say which rows are no calls. UsageError where none is."""
    from vosctl.rates.cdr.parties import parties, rates_of  # noqa: PLC0415  not for the help
    from vosctl.rates.cdr.read import connect, read_calls  # noqa: PLC0415

    connection = connect()
    calls = read_calls(connection, files, how.format(), parties(site))
    if calls.refused:
        first = "; ".join(f"row {row}: {why}" for row, why in calls.first)
        errors_to().print(
            f"{calls.refused:,} of {calls.rows:,} rows are no calls and left out: {first}", style="yellow"
        )
    if calls.rows == calls.refused:
        raise UsageError(
            f"{files[0]} holds no call", hint="say which columns are what: --column started=HEADING"
        )
    return Opened(connection, calls.query, rates_of(site))
