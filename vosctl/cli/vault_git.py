"""vosctl vault textconv and merge: what git runs on encrypted files."""

from __future__ import annotations

from pathlib import Path

import click

from vosctl.cli.screen import errors_to
from vosctl.cli.vault_keys import vault_options
from vosctl.errors import InputError, VosctlError
from vosctl.vault import roster
from vosctl.vault.keys import at_hand
from vosctl.vault.lines import merge_lines
from vosctl.vault.merge import merge
from vosctl.vault.textconv import shown

_path = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Show a file in git diff, its secrets as fingerprints.")
@click.argument("file", type=_path)
def textconv(file: Path) -> int:
    """Print FILE for git diff: names and fingerprints, never values; needs no password."""
    click.echo(shown(file.read_bytes().decode("utf-8", errors="replace"), str(file)), nl=False)
    return 0


@click.command("merge", short_help="Merge two branches of a file; git runs this.")
@click.argument("base", type=_path)
@click.argument("ours", type=_path)
@click.argument("theirs", type=_path)
@click.option("--marker-size", default=7, show_default=True, type=click.IntRange(1, 200), help="Length of conflict markers.")  # fmt: skip
@click.option("--path", "name", help="The file's name in the repository.")
@vault_options
def merge_files(base: Path, ours: Path, theirs: Path, *, marker_size: int, name: str | None) -> int:
    """Merge THEIRS into OURS, which both began as BASE; 1 where conflicts are left, marked in OURS.

    Files without secrets are merged as git merges them.
    """
    texts = [file.read_bytes().decode() for file in (base, ours, theirs)]
    display = name or str(ours)
    try:
        merged = merge(texts[0], texts[1], texts[2], display, at_hand(), marker=marker_size)
    except VosctlError as error:
        text, _ = merge_lines(texts[1], texts[0], texts[2], marker=marker_size)
        roster.write(ours, text)
        say = roster.texts_of(error) if isinstance(error, InputError) else str(error)
        hint = f"with a password or identity at hand: git checkout --merge {display}"
        errors_to().print(
            f"vosctl: {display}: merged as mere lines, for it could not be opened\n{say}\n{hint}"
        )
        return 1
    roster.write(ours, merged.text)
    if merged.conflicts and "lines" not in merged.conflicts:
        errors_to().print(f"vosctl: {display}: both branches changed {', '.join(merged.conflicts)}")
    if merged.conflicts:
        errors_to().print(f"vosctl: keep one side of each, then: vosctl vault encrypt --reseal {display}")
    return 1 if merged.conflicts else 0


COMMANDS = (textconv, merge_files)
