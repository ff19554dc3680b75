"""vosctl rates check: gaps, overlaps, losses, unknown costs and suspicious jumps, each with its place."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rates.named import decks
from vosctl.cli.rates.parameters import AMOUNT, MOMENT
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.errors import InputError, UsageError

if TYPE_CHECKING:
    from vosctl.rates.audit.jumps import Limits
    from vosctl.rates.route import Seller, Vendor
    from vosctl.site.decks import Deck
    from vosctl.site.model import Site
    from vosctl.site.problems import Problem

_PER_CENT = "PER CENT"
_SHOWN = 5
_ROWS = "deck-rows-"


@click.command("check", short_help="Gaps, overlaps, losses and jumps in the decks.")
@click.option("--at", "when", type=MOMENT, help="From this moment on [default: now].")
@click.option("--against", show_default="HEAD", metavar="REVISION",
              help="Compare rates with those of this git revision.")  # fmt: skip
@click.option(
    "--rise",
    type=AMOUNT,
    default=Decimal(50),
    show_default="50",
    metavar=_PER_CENT,
    help="A rise above this is suspicious.",
)
@click.option(
    "--fall",
    type=AMOUNT,
    default=Decimal(50),
    show_default="50",
    metavar=_PER_CENT,
    help="A fall above this is suspicious.",
)
@click.option("--shrink", type=AMOUNT, default=Decimal(10), show_default="10", metavar=_PER_CENT,
              help="A deck that loses more of its prefixes is suspicious.")  # fmt: skip
@click.option(
    "--max-minute-rate",
    type=AMOUNT,
    help="No row of any deck should cost more a minute, in the site's currency.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@site_options
def check_command(
    site: SiteArguments,
    *,
    when: datetime | None,
    against: str | None,
    rise: Decimal,
    fall: Decimal,
    shrink: Decimal,
    max_minute_rate: Decimal | None,
    strict: bool,
) -> int:
    """Say what is wrong, or looks wrong, in the decks: each finding with its place and what to do.

    Looks at now, at what begins or ends in the next 90 days, and at each section of the work calendars. Exit
    code 1 where customers are sold what no vendor has a rate for, or what the first vendor takes more for,
    or where two rows contradict each other.
    """
    from vosctl.rates.audit.jumps import Limits  # noqa: PLC0415  not for the help

    checked, told = load_site(site, warn=False)
    start = when or datetime.now(timezone.utc)
    found = [problem for problem in told.warnings if problem.rule.startswith(_ROWS)]
    found += _Audit(checked, start, max_minute_rate).problems()
    found += _jumps(site, checked, start, against, Limits(rise, fall, shrink))
    found = sorted(
        set(found), key=lambda problem: (problem.severity.value, problem.rule, problem.mark, problem.message)
    )
    return _tell(site, found, strict=strict)


class _Audit(Struct, frozen=True):
    """What is looked at: each deck once, each group with the vendors of its nodes once."""

    site: Site
    start: datetime
    limit: Decimal | None

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is found."""
        yield from self._decks()
        for seller, vendors in self._sales():
            yield from self._sale(seller, vendors)

    def _decks(self) -> Iterator[Problem]:
        from vosctl.rates.audit.rows import overlaps, too_dear, too_dear_for_guard  # noqa: PLC0415

        for deck, worth in self._each():
            yield from overlaps(deck, self.start)
            if self.limit is not None:
                yield from too_dear(deck, self.limit, worth)
        guarded = {
            (vendor.name, id(vendor.deck), vendor.guard): vendor
            for _, vendors in self._sales()
            for vendor in vendors
        }
        for vendor in guarded.values():
            yield from too_dear_for_guard(vendor)

    def _each(self) -> Iterator[tuple[Deck, Decimal]]:
        seen: set[int] = set()
        for node in (self.site.nodes[name] for name in self.site.selected):
            for deck in node.rates.decks():
                if id(deck) not in seen:
                    seen.add(id(deck))
                    yield deck, node.rates.worth(deck)

    def _sales(self) -> Iterator[tuple[Seller, Sequence[Vendor]]]:
        """Yield each group that customers of a node are in, with the vendors that the node reaches."""
        from vosctl.compile.routes import sellers, vendors  # noqa: PLC0415
        from vosctl.rates.callers import customers_groups  # noqa: PLC0415

        seen: set[Hashable] = set()
        for node in (self.site.nodes[name] for name in self.site.selected):
            used, reached = customers_groups(node), vendors(self.site, node)
            parts = tuple(
                (each.name, each.worth, id(each.deck), each.guard, id(each.routing)) for each in reached
            )
            for seller in sellers(node):
                key = id(seller.deck), seller.worth, id(seller.routing), parts
                if seller.deck.name in used and key not in seen:
                    seen.add(key)
                    yield seller, reached

    def _sale(self, seller: Seller, vendors: Sequence[Vendor]) -> Iterator[Problem]:
        from vosctl.rates.audit.coverage import coverage  # noqa: PLC0415
        from vosctl.rates.audit.moments import moments  # noqa: PLC0415

        known: set[tuple[object, ...]] = set()
        for moment in moments([seller.deck, *(each.deck for each in vendors if each.deck)], self.start):
            for problem in coverage(seller, vendors, moment):
                key = problem.rule, problem.mark, problem.message
                if key not in known:
                    known.add(key)
                    at = "" if moment == self.start else f" (at {moment:%Y-%m-%d %H:%M} UTC)"
                    yield replace(problem, message=problem.message + at)


def _jumps(
    site: SiteArguments, now: Site, when: datetime, revision: str | None, limits: Limits
) -> Iterator[Problem]:
    """Yield suspicious changes since a revision; without one since HEAD, where there is one that can be read."""
    from vosctl.rates.audit.jumps import jumps  # noqa: PLC0415
    from vosctl.review.revisions import portable, read_revision  # noqa: PLC0415
    from vosctl.site.revision import top_folder  # noqa: PLC0415

    try:
        top_folder()
        before = read_revision(portable(site_options_of(site)), revision or "HEAD").site
    except (UsageError, InputError) as error:
        if revision is not None:
            raise
        click.echo(f"no comparison with earlier decks: {error.message}", err=True)
        return
    olds = {(kind, deck.name): deck for kind, deck in decks(before)}
    news = {(kind, deck.name): deck for kind, deck in decks(now)}
    for key, deck in news.items():
        if key in olds:
            yield from jumps(olds[key], deck, when, limits, revision or "HEAD")


def _tell(site: SiteArguments, found: Sequence[Problem], *, strict: bool) -> int:
    from vosctl.report.problems import as_json, print_problems, summarize  # noqa: PLC0415
    from vosctl.site.problems import Severity  # noqa: PLC0415

    errors = [problem for problem in found if problem.severity is Severity.ERROR]
    warnings = [problem for problem in found if problem.severity is Severity.WARNING]
    code = 1 if errors or (strict and warnings) else 0
    if site.json:
        print_json({"ok": not code, "problems": as_json(found)})
        return code
    for rule in dict.fromkeys(problem.rule for problem in found):
        alike = [problem for problem in found if problem.rule == rule]
        shown = alike if site.verbose else alike[:_SHOWN]
        print_problems(errors_to(), shown)
        if len(shown) < len(alike):
            errors_to().print(f"… and {len(alike) - len(shown)} more [{rule}] (-v shows them)", style="dim")
    output().print(summarize(errors, warnings))
    return code


COMMANDS = (check_command,)
