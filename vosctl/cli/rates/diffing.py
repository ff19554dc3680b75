"""vosctl rates diff: what a new deck changes, and what that is in money for yesterday's calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.calls import cdr_option, open_calls
from vosctl.cli.rates.named import KINDS, deck_named, decks
from vosctl.cli.rates.parameters import MOMENT
from vosctl.cli.rates.saved import saved_mapping
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.errors import InputError, UsageError

if TYPE_CHECKING:
    from vosctl.rates.changes.traffic import Call
    from vosctl.report.rates.changes import Compared
    from vosctl.site.decks import Deck
    from vosctl.site.model import Site

_SHOWN = 30


@click.command("diff", short_help="What a new deck changes, in money by traffic.")
@click.argument("old")
@click.argument("new")
@click.option(
    "--traffic",
    multiple=True,
    metavar="CDRS",
    help="Calls to price by both: CSV or Parquet, or a glob; may be repeated.",
)
@cdr_option
@click.option("--at", "when", type=MOMENT, help="Compare what holds then [default: now].")
@click.option(
    "--kind", type=click.Choice(KINDS), help="Where a rate group and a clearing deck share the name."
)
@site_options
def diff_command(
    site: SiteArguments,
    *,
    old: str,
    new: str,
    traffic: tuple[str, ...],
    mapping: Path | None,
    when: datetime | None,
    kind: str | None,
) -> int:
    """Say what becomes of each prefix from OLD to NEW: up, down, new, gone, on other terms.

    Each is a deck of the site, a deck in a git revision (REVISION:DECK), or a file, which is read with the
    other one's saved mapping, or by its headings. Two revisions compare all decks that the site has. Calls
    count where the deck is their customer's or vendor's, and where they name neither.
    """
    from vosctl.rates.changes.compare import changes, later  # noqa: PLC0415  not for the help
    from vosctl.rates.changes.traffic import impact  # noqa: PLC0415
    from vosctl.report.rates.changes import Compared, as_json, screen  # noqa: PLC0415

    at = when or datetime.now(timezone.utc)
    sides = _Sides(site, kind)
    calls = sides.calls(traffic, mapping) if traffic else None
    found: list[Compared] = []
    for before, after in sides.pairs(old, new):
        _check_currencies(before, after)
        title = f"{before.title} → {after.title}"
        money = None if calls is None else impact(before.deck, after.deck, calls, at)
        moved, coming = changes(before.deck, after.deck, at), later(before.deck, after.deck, at)
        found.append(Compared(title, after.deck.currency, moved, coming, money))
    if site.json:
        print_json({"at": at.isoformat(), "diffs": [as_json(each) for each in found]})
        return 0
    for each in found:
        output().print(screen(each, most=None if site.verbose else _SHOWN))
    return 0


class _Side(Struct, frozen=True):
    deck: Deck
    title: str


def _check_currencies(old: _Side, new: _Side) -> None:
    before, after = old.deck.currency, new.deck.currency
    if before and after and before != after:
        raise UsageError(
            f"{old.title} is in {before}, {new.title} in {after}", hint="compare decks of one currency"
        )


class _Sides:
    """Finds what OLD and NEW name."""

    def __init__(self, arguments: SiteArguments, kind: str | None) -> None:
        self._arguments, self._kind = arguments, kind

    def calls(self, files: tuple[str, ...], mapping: Path | None) -> list[Call]:
        """Return the answered calls of CDR files, with the decks that the site knows their gateways by."""
        from vosctl.rates.changes.traffic import calls_of  # noqa: PLC0415

        with open_calls(self._now, files, mapping) as opened:
            return list(calls_of(opened.connection, opened.query))

    def pairs(self, old: str, new: str) -> Iterator[tuple[_Side, _Side]]:
        """Yield the decks to compare."""
        if self._is_revision(old) and self._is_revision(new):
            yield from self._whole(old, new)
        else:
            yield self._one(old, new), self._one(new, old)

    def _is_revision(self, word: str) -> bool:
        return ":" not in word and not Path(word).exists() and not self._is_deck(word)

    def _is_deck(self, word: str) -> bool:
        return any(deck.name == word for _, deck in decks(self._now))

    @cached_property
    def _now(self) -> Site:
        return load_site(self._arguments, warn=False)[0]

    def _whole(self, old: str, new: str) -> Iterator[tuple[_Side, _Side]]:
        """Yield each deck that both revisions have, and say which one of them lacks."""
        olds, news = (
            {(kind, deck.name): deck for kind, deck in decks(self._then(each))} for each in (old, new)
        )
        for kind, name in sorted(olds.keys() ^ news.keys()):
            where = new if (kind, name) in news else old
            errors_to().print(f"{kind} deck {name} is in {where} alone", style="yellow")
        for key in sorted(olds.keys() & news.keys()):
            if self._kind in {None, key[0]}:
                yield _Side(olds[key], f"{old}:{key[1]}"), _Side(news[key], f"{new}:{key[1]}")

    def _one(self, word: str, other: str) -> _Side:
        revision, colon, name = word.rpartition(":")
        if Path(word).is_file():
            return _Side(self._file(Path(word), other), word)
        if colon and revision:
            return _Side(deck_named(self._then(revision), name, self._kind), word)
        return _Side(deck_named(self._now, word, self._kind), word)

    def _then(self, revision: str) -> Site:
        from vosctl.review.revisions import portable, read_revision  # noqa: PLC0415

        return read_revision(portable(site_options_of(self._arguments)), revision).site

    def _file(self, path: Path, other: str) -> Deck:
        """Return the deck in a file; with refused rows it is compared without them, which is said."""
        from vosctl.rates.files.deck import deck_of_file  # noqa: PLC0415

        deck, refused = deck_of_file(path, self._mapping(other))
        if refused:
            hint = f"vosctl rates import {path} says which and why"
            errors_to().print(f"{path}: {refused} rows are refused and left out; {hint}", style="yellow")
        return deck

    def _mapping(self, other: str) -> Mapping[str, object]:
        """Return what the site has saved for the deck that a file is compared with, where it is one of the site's."""
        name = other.rpartition(":")[2]
        if Path(other).is_file():
            return {}
        try:
            return saved_mapping(self._arguments, name)
        except (UsageError, InputError):
            return {}


COMMANDS = (diff_command,)
