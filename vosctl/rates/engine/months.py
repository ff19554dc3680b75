"""What a call's price takes from the month before it: minutes that a deck has billed, seconds left of packages.

Only where decks have volume tiers, or accounts packages, calls are kept and looked at in the order in which they began.
A month is a calendar month of the deck's calendar, or of UTC; minutes are counted for each party and deck, packages for
each account. What was called before the first of the calls is not known and counts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from vosctl.rates.engine.amounts import Terms
from vosctl.rates.engine.sql import literal
from vosctl.rates.engine.statement import Candidate
from vosctl.rates.engine.tariff import FIRST_TERM, Tariff
from vosctl.site.decks import Account, Deck, Rates

_MINUTE = 60
_BEFORE = "rows between unbounded preceding and 1 preceding"


class Months(Struct, frozen=True):
    """The decks and accounts whose prices depend on the month; tariffs and terms by side."""

    rates: Rates
    tariffs: Mapping[str, Tariff]
    terms: Mapping[str, Terms]

    def tiered(self) -> list[Deck]:
        """Return the decks with volume tiers."""
        return [deck for tariff in self.tariffs.values() for deck in tariff.decks if deck.tiers]

    def packed(self) -> list[Account]:
        """Return the accounts with packages."""
        known = self.rates.packages
        return [
            account
            for account in self.rates.accounts.values()
            if any(name in known for name in account.packages)
        ]

    def columns(self, candidates: Collection[Candidate]) -> set[str]:
        """Return the columns of a call that this takes; none where nothing depends on the month."""
        sides = {each.side for each in candidates}
        packed = "customer" in sides and self.packed()
        if not packed and not any(self._tiers_of(side) for side in sides):
            return set()
        return {"started", "customer", "vendor", "callee"}

    def query(self, source: str, candidates: Sequence[Candidate]) -> str:
        """Return SQL of the looked-up calls in the table ``source`` with each candidate's duration and factor."""
        made = f"select *, rowid as vos_row from {source}"
        if any(each.side == "customer" for each in candidates) and self.packed():
            made = self._unpacked(made)
        else:
            made = f"select *, duration_ms as vos_ms from ({made})"
        names = ", ".join(
            f"{'vos_ms' if each.side == 'customer' else 'duration_ms'} as {each.name}_ms"
            for each in candidates
        )
        made = f"select *, {names} from ({made})"
        for each in candidates:
            if self._tiers_of(each.side):
                made = self._discounted(made, each)
        return made

    def notes(self, first: str) -> Iterator[str]:
        """Yield what cannot be known; ``first`` is the day of the first call."""
        tiered = sorted(deck.name for deck in self.tiered())
        if tiered:
            yield f"volume counts from the first call given, {first}: {', '.join(tiered)}"
        packed = sorted(account.name for account in self.packed())
        if packed:
            yield f"package minutes count from the first call given, {first}: {', '.join(packed)}"

    def _tiers_of(self, side: str) -> list[tuple[int, Deck]]:
        """Return each deck with tiers and the number of its first factor."""
        tariff = self.tariffs[side]
        return [pair for pair in zip(tariff.first_factor, tariff.decks, strict=True) if pair[1].tiers]

    def _unpacked(self, calls: str) -> str:
        """Return calls with ``vos_ms``, what is left of a duration when package seconds are taken off."""
        whens: list[str] = []
        sizes: list[str] = []
        for account in self.packed():
            for package in (
                self.rates.packages[name] for name in account.packages if name in self.rates.packages
            ):
                fits = " or ".join(f"starts_with(callee, {literal(prefix)})" for prefix in package.prefixes)
                whens.append(f"when customer = {literal(account.name)} and ({fits}) then {len(sizes)}")
                sizes.append(f"when {len(sizes)} then {package.minutes * _MINUTE * 1000}")
        month = _month("'UTC'")
        named = f"select *, case {' '.join(whens)} end as vos_package from ({calls})"
        before = f"coalesce(sum(duration_ms) over (partition by vos_package, {month} order by started, vos_row {_BEFORE}), 0)"
        left = f"greatest(case vos_package {' '.join(sizes)} end - {before}, 0)"
        rest = f"case when vos_package is null then duration_ms else greatest(duration_ms - {left}, 0)::BIGINT end"
        return f"select *, {rest} as vos_ms from ({named})"

    def _discounted(self, calls: str, candidate: Candidate) -> str:
        """Return calls whose candidate's factor is that of the tier that the month has reached."""
        own, terms = candidate.name, self.terms[candidate.side]
        tiers = self._tiers_of(candidate.side)
        zones = "".join(
            f" when {factor} then {literal(deck.calendar.timezone)}"
            for factor, deck in tiers
            if deck.calendar
        )
        zone = f"case {own}_factor{zones} else 'UTC' end" if zones else "'UTC'"
        alike = terms.alike_of_terms(own)
        given = ", ".join([f"{sql} as {name}" for name, sql in alike.items()])
        joined = f"select *, {given} from ({calls})" if alike else calls
        stepped = f"select *, {terms.steps(own)} from ({joined})"
        rated = f"{own}_term >= {FIRST_TERM} and {own}_blocked = 0"
        billed = (
            f"select *, case when {rated} then {terms.seconds(own)} else 0 end as vos_billed from ({stepped})"
        )
        used = (
            f"coalesce(sum(vos_billed) over (partition by {own}_factor, {candidate.side}, {_month(zone)}"
            f" order by started, vos_row {_BEFORE}), 0)"
        )
        tier = "".join(f" when {factor} then {_reached(deck)}" for factor, deck in tiers)
        taken = ", ".join(["vos_billed", "vos_used", f"{own}_steps", *alike])
        counted = f"select *, {used} as vos_used from ({billed})"
        return (
            f"select * exclude ({taken}) replace ({own}_factor + case {own}_factor{tier} else 0 end as {own}_factor)"
            f" from ({counted})"
        )


def _reached(deck: Deck) -> str:
    """Return SQL of how many tiers the seconds ``vos_used`` have reached: tiers stand in order of their minutes."""
    tests = [
        f"when vos_used >= {tier.minutes * _MINUTE} then {at}" for at, tier in enumerate(deck.tiers, start=1)
    ]
    return f"case {' '.join(reversed(tests))} else 0 end"


def _month(zone: str) -> str:
    """Return SQL of the calendar month in which a call began, in a time zone (SQL)."""
    return f"date_trunc('month', timezone({zone}, timezone('UTC', started)))"
