"""The command that gives trunks new keys: vosctl rotate-keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
from msgspec import Struct, field
from msgspec.structs import asdict

from vosctl.cli.length import Length
from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.nodes import push_options
from vosctl.cli.options import Callback, NodeArguments, SiteArguments, grouped, node_options, site_options
from vosctl.cli.screen import errors_to, print_json
from vosctl.cli.selection import divided
from vosctl.errors import UsageError, VosctlError
from vosctl.report.rotation import Lines
from vosctl.rotation.choose import Chosen, choose, told_age
from vosctl.rotation.commit import command_of, commit, foreign_changes, is_repository
from vosctl.rotation.events import Told, Watcher, Wishes
from vosctl.rotation.files import place_of
from vosctl.rotation.record import Record
from vosctl.rotation.run import resume, rotate
from vosctl.rotation.state import Rotations
from vosctl.site.model import Encryption
from vosctl.site.read import site_folder
from vosctl.vault.keys import at_hand
from vosctl.vault.seen import remember_versions


class RotationArguments(Struct, frozen=True):
    """What the command line says of the rotation itself. Times are in seconds."""

    everything: bool
    older_than: float | None
    resume: bool
    abort: bool
    wait: float | None
    watch: float
    patience: float
    mode: str | None
    check: bool
    commit: bool
    sign: bool


class _Kept(Struct):
    """Remembers the reports of rotations that ended."""

    reports: list[Mapping[str, Any]] = field(default_factory=list)

    def told(self, event: Told) -> None:
        """Remember a report."""
        if event.report is not None:
            self.reports.append(event.report)


_OPTIONS = (
    click.option("-a", "--all", "everything", is_flag=True, help="Every trunk with a key."),
    click.option("--older-than", type=Length(), envvar="VOSCTL_OLDER_THAN",
                 help="Only trunks whose key is at least this old, as 30d; one of unknown age is old."),
    click.option("--resume", is_flag=True, help="Go on with the rotations that are under way."),
    click.option("--abort", is_flag=True, help="Go back to the old keys of the rotations that are under way."),
    click.option("--wait", type=Length(), envvar="VOSCTL_ROTATION_WAIT",
                 help="How long to wait for calls on the old key to end [default: the longest call that the gateways allow]."),
    click.option("--watch", type=Length(), default="10s", show_default=True, envvar="VOSCTL_ROTATION_WATCH",
                 help="How long at least to look for noise once new calls use the new key."),
    click.option("--patience", type=Length(), default="60s", show_default=True, envvar="VOSCTL_ROTATION_PATIENCE",
                 help="How long to try again where an end fails after the key was staged."),
    click.option("--mode", type=click.Choice([mode.value for mode in Encryption if mode is not Encryption.NONE]),
                 help="Change the trunks' encryption, too."),
    click.option("-C", "--check", is_flag=True, envvar="VOSCTL_CHECK", help="Only say which trunks would get a new key."),
    click.option("--commit", is_flag=True, envvar="VOSCTL_ROTATION_COMMIT",
                 help="Commit the rotation's files, and nothing else."),
    click.option("--sign", is_flag=True, envvar="VOSCTL_ROTATION_SIGN",
                 help="Sign that commit, also where git is not configured to."),
)  # fmt: skip


def _rotation_options(function: Callback) -> Callback:
    return grouped(function, "wanted", RotationArguments, _OPTIONS)


@click.command("rotate-keys", short_help="Give trunks new keys, on both ends at once.")
@click.argument("names", metavar="[TRUNK]...", nargs=-1)
@_rotation_options
@site_options
@node_options
def rotate_keys(
    site: SiteArguments, nodes: NodeArguments, wanted: RotationArguments, *, names: tuple[str, ...]
) -> int:
    """Give trunks new keys while calls run: make, stage, activate, wait until no call holds the old, retire.

    Both ends move together or not at all. What fails before new calls use the new key changes nothing;
    what fails later can be gone on with (--resume) or taken back (--abort), from any clone of the site.
    """
    site, trunks = divided(site, names)
    _refuse(wanted, trunks)
    checked, _ = load_site(site)
    folder = site_folder(site_options_of(site))
    kept = _Kept()
    options = push_options(site, nodes)
    watchers: list[Watcher] = [Record(folder, options.holder), kept]
    if not site.json:
        watchers.append(Lines(click.echo))
    shared: dict[str, Any] = {"wishes": _wishes(wanted), "watchers": watchers}
    rotations = Rotations(folder)
    try:
        if wanted.resume or wanted.abort:
            if not rotations.under_way():
                return _nothing(site, "no rotation is under way")
            resume(site_options_of(site), options, trunks, back=wanted.abort, **shared)
        else:
            mode = Encryption(wanted.mode) if wanted.mode else None
            moment = datetime.now(timezone.utc)
            chosen = choose(checked, trunks, moment=moment, older_than=_age(wanted), mode=mode)
            if not chosen or wanted.check:
                return _show(site, chosen)
            if wanted.commit:
                _refuse_foreign(folder, site, chosen)
            rotate(site_options_of(site), options, [one.trunk.name for one in chosen], mode=mode, **shared)
    except VosctlError:
        with _said():  # why the rotation failed is what must be read last
            _finish(site, wanted, folder, kept.reports, failed=True)
        raise
    _finish(site, wanted, folder, kept.reports)
    return 0


def _refuse(wanted: RotationArguments, trunks: Sequence[str]) -> None:
    later = wanted.resume or wanted.abort
    if wanted.resume and wanted.abort:
        raise UsageError("--resume goes on, --abort goes back: say which")
    if later and (wanted.everything or wanted.older_than is not None or wanted.mode):
        raise UsageError("a rotation under way goes on as it was begun: name trunks, or none for all of them")
    if trunks and wanted.everything:
        raise UsageError("name the trunks or say --all, not both")
    if not (later or trunks or wanted.everything or wanted.older_than is not None):
        raise UsageError("name the trunks to rotate, or say --all or --older-than 30d")
    if wanted.sign and not wanted.commit:
        raise UsageError("--sign signs what --commit commits")


def _wishes(wanted: RotationArguments) -> Wishes:
    return Wishes(wait=wanted.wait, watch=wanted.watch, patience=wanted.patience)


def _age(wanted: RotationArguments) -> timedelta | None:
    return None if wanted.older_than is None else timedelta(seconds=wanted.older_than)


def _refuse_foreign(folder: Path, site: SiteArguments, chosen: Sequence[Chosen]) -> None:
    """Raise UsageError where a commit of the rotation's files would take changes along that are none of its own."""
    if not is_repository(folder):
        raise UsageError("--commit: the site is in no git repository")
    places = [
        place_of(site_options_of(site), one.trunk.name, one.trunk.key.name if one.trunk.key else None)
        for one in chosen
    ]
    found = foreign_changes(folder, [path for place in places for path in (place.trunk, place.keys)])
    if found:
        raise UsageError(
            f"--commit: these files have changes that are not committed yet:\n{found}",
            hint="commit them first, or rotate without --commit",
        )


def _nothing(site: SiteArguments, words: str) -> int:
    if site.json:
        print_json({"reports": [], "under_way": []})
    else:
        click.echo(words)
    return 0


def _show(site: SiteArguments, chosen: Sequence[Chosen]) -> int:
    if site.json:
        trunks = [
            {
                "trunk": one.trunk.name,
                "key": one.trunk.key.name if one.trunk.key else None,
                "age_days": None if one.age is None else one.age.days,
            }
            for one in chosen
        ]
        print_json({"would_rotate": trunks})
        return 0
    for one in chosen:
        key = one.trunk.key.name if one.trunk.key else "none"
        click.echo(f"{one.trunk.name}: would get a new key; {key} is {told_age(one.age)}")
    if not chosen:
        click.echo("no trunk's key is that old")
    return 0


def _finish(
    site: SiteArguments,
    wanted: RotationArguments,
    folder: Path,
    reports: Sequence[Mapping[str, Any]],
    *,
    failed: bool = False,
) -> None:
    """Commit or say how, and write the reports as JSON where that is asked for."""
    standing = [asdict(state) for state in Rotations(folder).under_way()]
    if reports:
        remember_versions(folder, at_hand().versions)
    told = [*reports, *standing]
    commit_id = commit(folder, told, sign=wanted.sign) if wanted.commit and told else None
    if site.json:
        print_json({"reports": reports, "under_way": standing, "commit": commit_id, "failed": failed})
    elif commit_id:
        click.echo(f"committed as {commit_id}")
    elif told and is_repository(folder):
        errors_to().print(f"to commit it:\n  {command_of(folder, told)}")


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except VosctlError as error:
        errors_to().print(f"vosctl: {error}", style="yellow")


COMMANDS = (rotate_keys,)
