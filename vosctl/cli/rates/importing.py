"""vosctl rates import: a vendor's or one's own deck file, row by row, and the YAML to save."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.screen import output, print_json
from vosctl.errors import UsageError

if TYPE_CHECKING:
    from vosctl.rates.files.importing import Imported

_FILE = click.Path(path_type=Path, dir_okay=False)
_KINDS = {"group": "groups", "clearing": "clearing"}
_CHOICES = {
    "decimal": (".", ","),
    "per": ("minute", "second"),
    "dash": ("range", "group"),
    "comma": ("list", "group"),
    "area": ("after", "whole"),
    "duplicates": ("refuse", "first", "last", "highest", "lowest"),
}


@click.command("import", short_help="Read a deck file, row by row, and say what to save.")
@click.argument("file", type=_FILE)
@click.option("--name", help="The deck's name [default: the file's].")
@click.option("--kind", type=click.Choice(tuple(_KINDS)), default="clearing", show_default=True,
              help="What customers pay, or what a vendor costs.")  # fmt: skip
@click.option("--deck", help="Read it with the mapping that the site has saved for this deck.")
@click.option("--column", "--columns", "columns", multiple=True, metavar="OURS=HEADING",
              help="Which column is what: 'prefix=Dial code'; HEADING may be a number, or two for country and area code, "
              "as 'prefix=Country,Areas'; may be repeated [default: by the headings].")  # fmt: skip
@click.option("--default", "defaults", multiple=True, metavar="OURS=TEXT",
              help="What all rows have that is no column, as increment=1/1; may be repeated.")  # fmt: skip
@click.option("--separator", help="What separates columns of CSV: ; or tab [default: found out].")
@click.option("--encoding", help="The character encoding of CSV [default: found out].")
@click.option("--sheet", help="The sheet of XLSX [default: the first with rows].")
@click.option(
    "--decimal", type=click.Choice(_CHOICES["decimal"]), help="The decimal mark [default: found out]."
)
@click.option("--date-format", help="How dates are written, as %d/%m/%Y.")
@click.option("--timezone", help="Where days begin, as Europe/London [default: UTC].")
@click.option("--currency", help="Only rows in this currency.")
@click.option("--per", type=click.Choice(_CHOICES["per"]), help="What prices are for [default: minute].")
@click.option("--dash", type=click.Choice(_CHOICES["dash"]), help="What 44-49 is [default: refused].")
@click.option("--comma", type=click.Choice(_CHOICES["comma"]), help="What 1,242 is [default: refused].")
@click.option(
    "--area", type=click.Choice(_CHOICES["area"]), help="What a column of area codes holds [default: after]."
)
@click.option("--duplicates", type=click.Choice(_CHOICES["duplicates"]),
              help="Which of contradicting rows counts [default: refuse, none].")  # fmt: skip
@click.option(
    "--out",
    type=_FILE,
    help="Write the clean deck here, as decks/x.csv; several currencies become several files.",
)
@site_options
def import_command(
    site: SiteArguments,
    *,
    file: Path,
    name: str | None,
    kind: str,
    deck: str | None,
    columns: tuple[str, ...],
    defaults: tuple[str, ...],
    out: Path | None,
    **said: str | None,
) -> int:
    """Read the deck FILE (CSV, XLSX, Parquet): each row is accepted, corrected with a note, or refused with its line.

    Prints the YAML to save: the mapping of the columns, or the clean file that --out writes. Exit code 1
    where rows were refused; the others are written all the same.
    """
    from vosctl.rates.files.importing import import_file  # noqa: PLC0415  not for the help

    given = {key: value for key, value in said.items() if value}
    known: dict[str, object] = {**_saved(site, deck), **given}
    if columns:
        known["columns"] = {**_mapped(known.get("columns")), **_pairs(columns, "--column")}
    if defaults:
        known["defaults"] = {**_mapped(known.get("defaults")), **_pairs(defaults, "--default")}
    if out is not None and out.resolve() == file.resolve():
        raise UsageError(
            f"--out {out} is the file to read", hint="write the clean deck beside it, as --out decks/x.csv"
        )
    found = import_file(file, known)
    kept = _Kept(found, name or deck or _name(file), _KINDS[kind], out)
    kept.write()
    if site.json:
        print_json(kept.as_json())
    else:
        kept.show(verbose=site.verbose > 0)
    return 1 if found.counts.refused else 0


def _saved(site: SiteArguments, deck: str | None) -> Mapping[str, object]:
    from vosctl.cli.rates.saved import saved_mapping  # noqa: PLC0415  reads the site

    return saved_mapping(site, deck) if deck else {}


def _mapped(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _pairs(words: tuple[str, ...], option: str) -> dict[str, object]:
    """Return ``ours=heading`` options as a mapping; ``prefix=A,B`` names two columns."""
    found: dict[str, object] = {}
    for word in words:
        ours, sign, text = word.partition("=")
        if not sign or not text.strip():
            raise UsageError(f"{option} {word}: no heading", hint=f"as {option} 'prefix=Dial code'")
        name = ours.strip()
        two = option == "--column" and name == "prefix" and "," in text
        found[name] = [each.strip() for each in text.split(",")] if two else text.strip()
    return found


def _name(file: Path) -> str:
    word = "".join(char if char.isascii() and char.isalnum() else "-" for char in file.stem.casefold())
    return "-".join(part for part in word.split("-") if part)[:32] or "deck"


class _Kept:
    """What is kept of an import: clean files, and the YAML that names them."""

    def __init__(self, found: Imported, name: str, kind: str, out: Path | None) -> None:
        self.found, self.name, self.kind, self.out = found, name, kind, out
        several = len(found.rates) > 1
        self.names = {code: f"{name}-{code.lower()}" if several else name for code in found.rates}
        self.files = {code: self._file(code, several=several) for code in found.rates} if out else {}

    def _file(self, code: str, *, several: bool) -> Path:
        assert self.out is not None
        return self.out.with_stem(f"{self.out.stem}-{code.lower()}") if several else self.out

    def write(self) -> None:
        """Write the clean files that were asked for."""
        from vosctl.rates.files.write import FORMATS, write_file  # noqa: PLC0415

        for code, path in self.files.items():
            form = path.suffix.lower().lstrip(".")
            if form not in FORMATS or form == "yaml":
                raise UsageError(
                    f"--out {path}: a deck file is CSV, XLSX or Parquet", hint="as --out decks/x.csv"
                )
            write_file(form, self.found.rates[code], path)

    def yaml(self) -> str:
        """Return the YAML to save."""
        from vosctl.rates.files.write import mapping_text  # noqa: PLC0415

        decks: dict[str, Mapping[str, object]] = {}
        for code in self.found.rates:
            said = {"file": os.path.normpath(self.files.get(code, self.found.path))}
            money = {"currency": code} if code else {}
            if self.files:
                decks[self.names[code]] = {**said, **money}
            else:
                rest = {key: value for key, value in self.found.mapping.items() if key != "currency"}
                decks[self.names[code]] = {**said, **money, **rest}
        return mapping_text(self.kind, decks)

    def show(self, *, verbose: bool) -> None:
        """Print the report."""
        from vosctl.report.rates.imported import screen  # noqa: PLC0415  rich takes its time

        output().print(screen(self.found, self.yaml(), list(self.files.values()), every=verbose))

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON-ready data."""
        from vosctl.report.rates.imported import as_json  # noqa: PLC0415

        files = {self.names[code]: str(path) for code, path in self.files.items()}
        return as_json(
            self.found,
            {self.names[code]: rows for code, rows in self.found.rates.items()},
            files,
            self.yaml(),
        )


COMMANDS = (import_command,)
