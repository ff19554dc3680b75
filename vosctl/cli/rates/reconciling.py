"""vosctl rates reconcile: our calls against the other side's, one to one, and what differs in money."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from vosctl.cli.loading import load_site
from vosctl.cli.options import SiteArguments, site_options_beside_files
from vosctl.cli.rates.parameters import DURATION, MOMENT
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.rates.reconcile.classes import Reconciled

_SHOWN, _ON_PAGE = 20, 5000
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_WITH_DECKS = {"vendor": "vendor_total", "customer": "customer_total"}


@click.command("reconcile", short_help="Our calls against a vendor's or customer's: what differs, and why.")
@click.argument("ours", type=_FILE)
@click.argument("theirs", type=_FILE)
@click.option("--tolerance-time", type=DURATION, default="5s", show_default=True,
              help="How far the beginnings of one call may lie apart.")  # fmt: skip
@click.option("--tolerance-duration", type=DURATION, default="2s", show_default=True,
              help="How far durations may, before they differ.")  # fmt: skip
@click.option(
    "--vendor", default="", metavar="NAME", help="Of our calls only this vendor's (or its gateway's)."
)
@click.option(
    "--customer",
    default="",
    metavar="NAME",
    help="Of our calls only this customer's; amounts are what we billed.",
)
@click.option(
    "--by-decks", is_flag=True, help="Our amounts are what the site's decks say, not what the file does."
)
@click.option(
    "--digits", type=click.IntRange(0, 20), default=0, help="Compare only so many last digits of numbers."
)
@click.option(
    "--mapping", type=_FILE, metavar="FILE", help="YAML: which column of our file is what, and its time zone."
)
@click.option("--their-mapping", type=_FILE, metavar="FILE", help="The same of theirs.")
@click.option("--from", "begin", type=MOMENT, help="Calls that began then or later, by our clock.")
@click.option("--to", "end", type=MOMENT, help="Calls that began before then.")
@click.option("--format", "kind", default="table", show_default=True,
              type=click.Choice(["table", "csv", "parquet", "html", "json"]))  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write there, not to the screen."
)
@site_options_beside_files
def reconcile_command(
    site: SiteArguments, *, ours: Path, theirs: Path, tolerance_time: Decimal, tolerance_duration: Decimal,
    vendor: str, customer: str, by_decks: bool, digits: int, mapping: Path | None, their_mapping: Path | None,
    begin: datetime | None, end: datetime | None, kind: str, out: Path | None,
) -> int:  # fmt: skip
    """Pair the calls of two CDR files and say what differs: missing calls, durations, rates, rounding, time zones.

    Their amounts are what their file bills. Ours are what our file says of the vendor's cost (with --customer:
    of what we billed), or with --by-decks what the site's decks say.
    """
    from vosctl.rates.reconcile.classes import reconcile  # noqa: PLC0415  not for the help
    from vosctl.rates.reconcile.sides import Tolerance  # noqa: PLC0415

    kind = "json" if site.json else kind
    if kind == "parquet" and out is None:
        raise UsageError("Parquet is for files", hint="add --out differences.parquet")
    if vendor and customer:
        raise UsageError("--vendor and --customer are two reconciliations", hint="name one of them")
    tolerance = Tolerance(
        *(timedelta(milliseconds=int(each * 1000)) for each in (tolerance_time, tolerance_duration))
    )
    with _database() as connection:
        us = _Ours(ours, mapping, vendor, customer, digits)
        us.read(connection, site if by_decks else None)
        _theirs(connection, theirs, their_mapping, digits)
        found = reconcile(connection, tolerance, begin, end)
        _write(connection, found, kind, out)
    return 0


@contextmanager
def _database() -> Iterator[Any]:
    from vosctl.rates.cdr.reading import connect  # noqa: PLC0415  not for the help

    with TemporaryDirectory(prefix="vosctl-calls-") as folder, connect(Path(folder)) as connection:
        yield connection


def _read(connection: Any, path: Path, mapping: Path | None) -> str:
    """Read a file into the table of calls; return the table's name. UsageError where it holds none."""
    from vosctl.rates.cdr.mapping import read_mapping  # noqa: PLC0415  not for the help
    from vosctl.rates.cdr.reading import TABLE, read_calls  # noqa: PLC0415

    loaded = read_calls(connection, [path], read_mapping(mapping) if mapping else None)
    if loaded.refused:
        first = "; ".join(map(str, loaded.examples[:3]))
        errors_to().print(
            f"{path}: {loaded.refused:,} rows are no calls and left out: {first}", style="yellow"
        )
    if not loaded.calls:
        raise UsageError(f"{path} holds no call", hint="a mapping says which column is what")
    return TABLE


def _theirs(connection: Any, path: Path, mapping: Path | None, digits: int) -> None:
    from vosctl.rates.reconcile.sides import THEIRS, load  # noqa: PLC0415  not for the help

    calls = f"from {_read(connection, path, mapping)}"
    load(connection, THEIRS, calls, amount="coalesce(billed, cost)", digits=digits)


class _Ours(Struct, frozen=True):
    path: Path
    mapping: Path | None
    vendor: str
    customer: str
    digits: int

    def read(self, connection: Any, site: SiteArguments | None) -> None:
        """Make the table of our calls, priced by the site's decks where a site is given."""
        from vosctl.rates.reconcile.sides import OURS, load  # noqa: PLC0415  not for the help

        calls, amount = f"from {_read(connection, self.path, self.mapping)}", "coalesce(cost, billed)"
        if self.customer:
            amount = "coalesce(billed, cost)"
        if site is not None:
            calls, amount = (
                _rated(connection, calls, site),
                _WITH_DECKS["customer" if self.customer else "vendor"],
            )
        count = load(connection, OURS, self._chosen(calls), amount=amount, digits=self.digits)
        if not count:
            raise UsageError(
                f"{self.path} holds no answered call of {self.vendor or self.customer or 'anybody'}"
            )

    def _chosen(self, calls: str) -> str:
        party, name = ("customer", self.customer) if self.customer else ("vendor", self.vendor)
        if not name:
            return calls
        wanted = "'" + name.replace("'", "''") + "'"
        return f"{calls} where {party} = {wanted} or {party}_gateway = {wanted}"


def _rated(connection: Any, calls: str, site: SiteArguments) -> str:
    """Return SQL of the calls with what the site's decks say of them."""
    from vosctl.rates.cdr.parties import filled, parties, rates_of  # noqa: PLC0415  not for the help
    from vosctl.rates.engine.rating import Rating, survey  # noqa: PLC0415

    checked, _ = load_site(site, warn=False)
    query = filled(calls, parties(checked))
    found = survey(connection, query)
    assert found is not None, "there is a call"
    wanted = ("call_id", "started", "duration_ms", "callee", "customer", "customer_gateway", "vendor",
              "vendor_gateway", "customer_total", "vendor_total")  # fmt: skip
    rating = Rating(connection, rates_of(checked), found)
    table = rating.run(query, lambda rated: f"from {rated}", columns=wanted)
    connection.register("rated_here", table)
    return "from rated_here"


def _write(connection: Any, found: Reconciled, kind: str, out: Path | None) -> None:
    from vosctl.rates.reconcile.classes import differences  # noqa: PLC0415  not for the help
    from vosctl.report.rates import reconciled as report  # noqa: PLC0415

    if kind in {"csv", "parquet"}:
        table = differences(connection)
        report.write(table, out or sys.stdout.buffer, kind)
    elif kind == "json":
        print_json(report.as_json(found, differences(connection).to_pylist()))
    elif kind == "html":
        from vosctl.report.rates.page.reconciled import page  # noqa: PLC0415

        text = page(found, differences(connection, _ON_PAGE).to_pylist())
        if out is None:
            click.echo(text)
        else:
            out.write_text(text, encoding="utf-8")
    else:
        output().print(report.screen(found, differences(connection, _SHOWN).to_pylist()))
    if out is not None and kind in {"csv", "parquet", "html"}:
        click.echo(f"{out} written", err=True)


COMMANDS = (reconcile_command,)
